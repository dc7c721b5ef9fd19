# SPDX-License-Identifier: Apache-2.0
"""A peer with a good certificate that breaks tombolo/1: its tunnel ends, nothing else does."""
import struct

from testing import case, driver, pki, wire
from testing.topology import TUNNEL_PORT, Endpoint


class ProtocolTest(case.PairCase):
    """Each test breaks one rule, beside a connection of a good client."""

    topology_name = "protocol"
    start_agents = False

    @classmethod
    def build(cls):
        super().build()
        cls.topo.service("shop/other", 80, [Endpoint(cls.server, cls.PORT + 1)])
        cls.topo.allow(cls.client, "shop/other")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.files = pki.second_root(cls.topo).issue("client", cls.client.id)
        cls.topo.start_agents()

    def setUp(self):
        super().setUp()
        self.server_process = self.echo()
        self.bystander = self.peer("hold", 5)
        self.assertEqual(self.bystander.next()["open"], 5)

    def tearDown(self):
        self.bystander.tell()
        self.assertEqual(self.bystander.next()["alive"], 5, "other connections were hit")
        self.server_process.kill()
        super().tearDown()

    def dial(self, service="shop/server"):
        """A fresh tunnel to west's agent."""
        sni = wire.server_name(service, 80, self.server.id, "west")
        return wire.Tunnel(self.east.netns, (self.west.ip, TUNNEL_PORT), sni, *self.files)

    def greeted(self, service="shop/server"):
        """A tunnel after HELLO both ways."""
        tunnel = self.dial(service)
        tunnel.message(wire.HELLO, wire.hello(), connection=0)
        self.assertEqual(tunnel.receive_message()[0], wire.HELLO)
        return tunnel

    def opened(self, service="shop/server"):
        """A tunnel that carries a connection."""
        tunnel = self.greeted(service)
        tunnel.message(wire.OPEN, wire.open_request(service, 80))
        kind, payload = tunnel.receive_message()
        self.assertEqual((kind, payload[:2]), (wire.RESULT, wire.field(1, 1)))
        return tunnel

    def assert_ended(self, tunnel):
        """RESET or nothing, and then the end of the tunnel."""
        message = tunnel.receive_message()
        while message is not None:
            self.assertIn(message[0], (wire.HELLO, wire.RESET, wire.GOAWAY), message)
            message = tunnel.receive_message()
        tunnel.close()

    def test_the_rules_kept(self):
        tunnel = self.opened()
        tunnel.send(wire.APPLICATION, b"hello")
        self.assertEqual(tunnel.receive(), (wire.APPLICATION, b"hello"))
        tunnel.message(wire.PING, b"12345", connection=0)
        self.assertEqual(tunnel.receive_message(), (wire.PONG, b"12345"))
        tunnel.message(wire.END)
        self.assertEqual(tunnel.receive_message()[0], wire.END)
        self.assertEqual(tunnel.receive_message()[0], wire.DONE)
        tunnel.message(wire.OPEN, wire.open_request("shop/server", 80), connection=2)
        self.assertEqual(tunnel.receive_message()[0], wire.RESULT)
        tunnel.close()

    def test_an_unknown_optional_message_is_skipped(self):
        tunnel = self.opened()
        tunnel.message(99, b"from the future", flags=1)
        tunnel.send(wire.APPLICATION, b"hello")
        self.assertEqual(tunnel.receive(), (wire.APPLICATION, b"hello"))
        tunnel.close()

    def test_malformed_before_hello(self):
        for breach in (lambda t: t.send(wire.CONTROL, b""),
                       lambda t: t.send(wire.CONTROL, b"\1\0\0"),
                       lambda t: t.send(wire.APPLICATION, b"no HELLO"),
                       lambda t: t.message(wire.OPEN, wire.open_request("shop/server", 80)),
                       lambda t: t.message(wire.HELLO, b"\xff\xff\xff", connection=0),
                       lambda t: t.message(wire.HELLO, wire.hello(version=77), connection=0)):
            tunnel = self.dial()
            breach(tunnel)
            self.assert_ended(tunnel)

    def test_malformed_after_hello(self):
        request = wire.open_request("shop/server", 80)
        for breach in (lambda t: t.message(99, b"unknown, and not optional"),
                       lambda t: t.message(wire.OPEN, request, length=len(request) + 1),
                       lambda t: t.message(wire.OPEN, request, length=1),
                       lambda t: t.message(wire.OPEN, b"\xff" * 100),
                       lambda t: t.message(wire.OPEN, wire.open_request("shop/server", 0)),
                       lambda t: t.message(wire.OPEN, wire.open_request("", 80)),
                       lambda t: t.message(wire.OPEN, wire.open_request("shop/server", 80, b"1")),
                       lambda t: t.message(wire.OPEN, request, connection=7),
                       lambda t: t.message(wire.HELLO, wire.hello(), connection=0),
                       lambda t: t.message(wire.RESULT, wire.field(1, 1)),
                       lambda t: t.message(wire.END),
                       lambda t: t.message(wire.DONE),
                       lambda t: t.message(wire.PING, b"x" * 65, connection=0),
                       lambda t: t.send(wire.CONTROL, b"\7\0" + struct.pack("!HI", 5000, 0)
                                        + b"x" * 5000),
                       lambda t: t.send(200, b"a content type that nobody knows"),
                       lambda t: t.send(22, b"\x04\0\0\1\0"),  # a ticket
                       lambda t: t.sock.sendall(b"\x17\x03\x03\xff\xff" + b"x" * 1000),
                       lambda t: t.sock.sendall(b"\x17\x03\x03\0\x40" + b"x" * 64)):
            tunnel = self.greeted()
            breach(tunnel)
            self.assert_ended(tunnel)

    def test_malformed_while_a_connection_runs(self):
        request = wire.open_request("shop/server", 80)
        before = self.west.agent.metrics()
        for breach in (lambda t: t.message(wire.OPEN, request, connection=2),
                       lambda t: t.message(wire.END, connection=2),
                       lambda t: t.message(wire.DONE),
                       lambda t: t.message(wire.END, b"payload"),
                       lambda t: t.send(wire.CONTROL, b"\0" * 9),
                       lambda t: (t.message(wire.END), t.message(wire.END)),
                       lambda t: (t.message(wire.END), t.send(wire.APPLICATION, b"late"))):
            tunnel = self.opened()
            breach(tunnel)
            # What the endpoint had sent before is in order: skip to the end.
            while tunnel.receive_message() is not None:
                pass
            tunnel.close()
        self.assert_counted(self.west.agent, before, "protocol_errors")

    def test_a_peer_that_goes_silent_in_the_handshake_or_after_it(self):
        tunnel = self.dial()
        # deadlines.handshake is 5s; the socket waits for longer.
        self.assertEqual(tunnel.receive_message()[0], wire.HELLO)
        self.assert_ended(tunnel)

    def test_truncation_is_a_reset_for_the_endpoint(self):
        server = driver.serve(self.server, self.PORT + 1, "recv-eof")
        tunnel = self.opened("shop/other")
        tunnel.close()
        self.assertEqual(server.next()["end"], "reset")
        server.kill()


if __name__ == "__main__":
    case.main()
