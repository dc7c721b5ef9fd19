# SPDX-License-Identifier: Apache-2.0
"""The tunnel's tests with records in the kernel: peers that keep the rules, and that break them.

The peer is the test's own, with records made here (testing/wire.py): what the kernel opens and
seals for an agent is what another implementation means.
"""
import contextlib
import socket

from netns import hostile_acceptor_test, protocol_test
from testing import case, driver, host, wire
from testing.conversation import pattern
from vm.inside import machine
from vm.inside.records_case import RecordsCase

# Handshakes in an emulated processor take longer than the five seconds of the defaults, but the
# tests wait for what happens after a minute at most.
_DEADLINES = {"deadlines": dict.fromkeys(
    ("handshake", "dial", "connect", "endpoint_connect"), "20s")}
_KEY_UPDATE = bytes([24, 0, 0, 1, 0])
_TICKET = bytes([4, 0, 0, 1, 0])
_UNEXPECTED_MESSAGE = bytes([2, 10])
_CLOSE_NOTIFY = bytes([1, 0])
_BEFORE = 100_000


class KernelProtocolTest(RecordsCase, protocol_test.ProtocolTest):
    """A dialer that is not an agent, and what ends a stream in the middle of it."""

    patience = _DEADLINES
    decrypt_errors = True

    def stream(self, script):
        """(server, tunnel) of a connection that has carried _BEFORE bytes from the dialer and
        whose server has said so."""
        server = driver.serve(self.server, self.PORT + 1, f"recv:{_BEFORE},text:x,{script}")
        tunnel = self.opened("shop/other")
        self.send_pattern(tunnel, 0, _BEFORE)
        self.assertEqual(tunnel.receive(), (wire.APPLICATION, b"x"))
        return server, tunnel

    @staticmethod
    def send_pattern(tunnel, offset, size):
        """A part of what a client of the server has to send, in records."""
        for done in range(0, size, 16384):
            tunnel.send(wire.APPLICATION,
                        pattern("client", offset + done, min(16384, size - done)))

    def assert_cut(self, server, tunnel, alert):
        """Nothing from behind the cut has been delivered, and it is no orderly end."""
        result = server.next()
        self.assert_intact(result, received=_BEFORE)
        self.assertEqual(result["end"], "reset", result)
        seen = []
        while (record := tunnel.receive()) is not None:
            seen.append(record)
        self.assertEqual([payload for kind, payload in seen if kind == wire.ALERT],
                         [alert] if alert else [], seen)
        tunnel.close()
        server.kill()

    def cut(self, kind, payload, alert):
        """One record that ends the stream, and data behind it."""
        server, tunnel = self.stream("recv-eof")
        tunnel.send(kind, payload)
        with contextlib.suppress(ConnectionError):  # it may have ended by now
            self.send_pattern(tunnel, _BEFORE, 20_000)
        self.assert_cut(server, tunnel, alert)

    def test_a_handshake_record_in_mid_stream(self):
        self.cut(wire.HANDSHAKE, _TICKET, _UNEXPECTED_MESSAGE)

    def test_an_alert_in_mid_stream(self):
        self.cut(wire.ALERT, bytes([2, 48]), None)

    def test_the_end_of_tcp_in_mid_stream(self):
        """Without close_notify, and at the edge of a record: only TLS can tell that it is cut."""
        server, tunnel = self.stream("recv-eof")
        tunnel.sock.shutdown(socket.SHUT_WR)
        # The acceptor's own direction ends in order.
        self.assert_cut(server, tunnel, _CLOSE_NOTIFY)

    def test_a_key_update_in_mid_stream(self):
        if not machine.can_rekey():
            self.cut(wire.HANDSHAKE, _KEY_UPDATE, _UNEXPECTED_MESSAGE)
            return
        server, tunnel = self.stream("recv-eof,send:50000")
        for turn in range(1, 4):
            tunnel.update_key()
            self.send_pattern(tunnel, turn * _BEFORE, _BEFORE)
        self.finish(server, tunnel, 4 * _BEFORE, [])

    def test_a_key_update_that_asks_for_another(self):
        if not machine.can_rekey():
            self.skipTest("this kernel cannot change keys (Linux 6.14)")
        server, tunnel = self.stream("recv-eof,send:50000")
        tunnel.update_key(request=True)
        self.send_pattern(tunnel, _BEFORE, _BEFORE)
        self.finish(server, tunnel, 2 * _BEFORE, [_KEY_UPDATE])

    def finish(self, server, tunnel, size, handshake_records):
        """Ends the stream in order and takes 50000 bytes of the server's."""
        tunnel.message(wire.END)
        got, handshake = b"", []
        while (record := tunnel.receive())[0] != wire.CONTROL:
            if record[0] == wire.HANDSHAKE:
                handshake.append(record[1])
            else:
                got += record[1]
        self.assertEqual(record[1][0], wire.END)
        self.assertEqual(got, pattern("server", 0, 50000))
        self.assertEqual(handshake, handshake_records)
        self.assert_done(server.next(), sent=50000, received=size)
        tunnel.close()
        server.kill()


class KernelHostileAcceptorTest(RecordsCase, hostile_acceptor_test.HostileAcceptorTest):
    """The dialer's side of the same; west is not an agent."""

    records = {"east": "kernel", "north": "kernel"}
    patience = _DEADLINES
    decrypt_errors = True
    # What the kernel refuses by itself has an errno and no words; a ticket is told from a
    # KeyUpdate only where that may come.
    wording = {"record of 65535 bytes": "Message too long", "does not authenticate": "Bad message"}
    if not machine.can_rekey():
        wording["unexpected handshake message"] = "record of unexpected type 22"

    def test_a_key_update_that_asks_for_another(self):
        half, taken = 30_000, []

        def act(tunnel):
            tunnel.accept()
            for offset in (0, 15_000):
                tunnel.send(wire.APPLICATION, pattern("server", offset, 15_000))
            tunnel.update_key(request=True)
            if not machine.can_rekey():
                return  # the dialer ends it
            for offset in (half, half + 15_000):
                tunnel.send(wire.APPLICATION, pattern("server", offset, 15_000))
            tunnel.message(wire.END)
            while (record := tunnel.receive())[0] != wire.CONTROL:
                taken.append(record)
            tunnel.message(wire.DONE)
            tunnel.sock.shutdown(socket.SHUT_WR)  # the dialer would keep it for the next test
        self.hostile.act = act
        client = driver.connect(self.client, self.service.vip, 80,
                                f"recv:{half},recv-eof,send:50000,shutdown")
        self.assertTrue(self.hostile.ended.acquire(timeout=host.PATIENCE))
        self.assertEqual(self.hostile.errors, [])
        if not machine.can_rekey():
            self.assert_intact(client, received=half)
            self.assertEqual(client["end"], "reset", client)
            return
        self.assert_done(client, sent=50_000, received=2 * half)
        self.assertEqual([payload for kind, payload in taken if kind == wire.HANDSHAKE],
                         [_KEY_UPDATE])
        self.assertEqual(b"".join(payload for kind, payload in taken if kind == wire.APPLICATION),
                         pattern("client", 0, 50_000))


if __name__ == "__main__":
    case.main()
