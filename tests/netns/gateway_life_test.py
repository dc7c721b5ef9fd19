# SPDX-License-Identifier: Apache-2.0
"""A gateway's death, drain, directory and configuration."""
import errno
import signal
import socket
import time

from netns.gateway_case import Backend, GatewayCase, how_it_ends, name_of
from testing import case, host, network
from testing.gateway import Gateway
from testing.wire import client_hello


class LifeTest(GatewayCase):
    """Changes, ends and deaths."""

    topology_name = "gwlife"
    config = {"deadlines": {"drain": "4s"}}

    def test_a_death_loses_its_own_tunnels_only(self):
        other = Gateway(self.west, "west-gw-2", number=1)
        self.write(self.backends, gateways=[self.gateway.entry(), other.entry()])
        other.begin()
        client, node, _ = self.tunnel()
        address = (other.host, other.port)
        there = host.in_netns(network.path(self.west.netns), lambda: socket.create_connection(
            address, timeout=host.PATIENCE))
        self._sockets.append(there)
        there.sendall(client_hello(name_of()))
        far, _ = self.taken()
        self.assertEqual(len(far.recv(5, socket.MSG_WAITALL)), 5)
        self.gateway.kill()
        self.assertEqual(how_it_ends(client), ("reset", b""))
        self.assertEqual(how_it_ends(node), ("reset", b""))
        far.sendall(b"alive")
        self.assertEqual(there.recv(5), b"alive")
        self.assertRaises(ConnectionRefusedError, self.dial)
        there.close()
        far.close()
        self.assertEqual(other.stop(), 0)
        self.write(self.backends)
        self.gateway.begin()
        self.assert_works()

    def test_drain(self):
        client, node, _ = self.tunnel()
        ending, far, _ = self.tunnel()
        self.gateway.expect_death = True
        self.gateway.process.send_signal(signal.SIGTERM)
        host.wait_until("the listener to close", self._refuses)
        self.assertEqual(self.gateway.http("/readyz")[0], 503)
        client.sendall(b"on")
        self.assertEqual(node.recv(2), b"on")
        ending.close()
        self.assertEqual(how_it_ends(far), ("eof", b""))
        far.close()
        # Then the deadline.
        self.assertEqual(how_it_ends(client), ("reset", b""))
        self.assertEqual(self.gateway.process.wait(host.PATIENCE), 0)
        self.gateway.begin()

    def test_a_drain_without_tunnels_is_short(self):
        begun = time.monotonic()
        self.assertEqual(self.gateway.stop(), 0)
        self.assertLess(time.monotonic() - begun, 3)
        self.gateway.begin()

    def _refuses(self):
        try:
            self.dial()
        except ConnectionRefusedError:
            return True
        except OSError as error:
            if error.errno != errno.ECONNRESET:
                raise
        return False

    def test_a_change_of_the_directory(self):
        client, node, _ = self.tunnel()
        self.write([Backend("west-2", "new")])
        self.addCleanup(self.write, self.backends)
        host.wait_until("the new name", lambda: self.gateway.cli("status")["snapshot"]["version"]
                        > 1)

        def refused():
            is_known = self.dial_known(client_hello(name_of())) is not None
            self.drop_untaken()
            return not is_known
        host.wait_until("the old name to be refused", refused)
        self.assertEqual(self.tunnel(client_hello(name_of("new")))[2], 1)
        # What runs goes on: the nodes judge it.
        client.sendall(b"on")
        self.assertEqual(node.recv(2), b"on")

    def test_a_bad_directory_changes_nothing(self):
        self.topo.write_directory("trust_domain: [\n")
        self.addCleanup(self.write, self.backends)
        host.wait_until("the error", lambda: self.gateway.cli("status")["snapshot"]["error"])
        self.assert_works()

    def test_a_gateway_that_the_directory_does_not_have(self):
        self.write(self.backends, gateways=[])
        host.wait_until("it to be not ready", lambda: self.gateway.http("/readyz")[0] == 503)
        self.assertIn("has no gateway 'west-gw-1'", self.gateway.http("/readyz")[1])
        self.assert_works()  # who is sent to it all the same is served
        self.write(self.backends)
        host.wait_until("it to be ready", lambda: self.gateway.http("/readyz")[0] == 200)

    def test_limits_are_taken_over(self):
        def limited():
            before = self.gateway.refused("connection_limit")
            with self.dial(), self.dial():
                time.sleep(0.05)  # a refusal that comes later is seen in the next round
                return self.gateway.refused("connection_limit") > before

        def set_limits(limits):
            self.gateway.config = self.config | limits
            self.gateway.write_config()
            self.gateway.process.send_signal(signal.SIGHUP)
        self.assertFalse(limited())
        set_limits({"limits": {"connections": 1}})
        host.wait_until("the new limit to hold", limited)
        set_limits({})
        host.wait_until("the old limit to hold", lambda: not limited())


if __name__ == "__main__":
    case.main()
