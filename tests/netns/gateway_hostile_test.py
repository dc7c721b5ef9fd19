# SPDX-License-Identifier: Apache-2.0
"""What strangers send to a gateway."""
import contextlib
import os
import select
import socket
import time

from netns.gateway_case import GatewayCase, how_it_ends, name_of
from testing import case, host, network
from testing.wire import client_hello, in_records


class HostileTest(GatewayCase):
    """What strangers send."""

    topology_name = "gwhostile"
    config = {"deadlines": {"handshake": "4s"},
              "limits": {"connections": 120, "handshakes": 80, "handshakes_per_address": 40}}

    def assert_alert(self, sends, reason, alert):
        """It is told why, and the connection ends in order."""
        client = self.dial(sends)
        self.assertEqual(how_it_ends(client), ("eof", bytes([21, 3, 3, 0, 2, 2, alert])), reason)
        self.assert_refused(reason)
        self.before = self.gateway.metrics()

    def test_names_that_are_not_served(self):
        self.assert_alert(client_hello("example.com"), "unknown_name", 112)
        self.assert_alert(client_hello(name_of("nobody")), "unknown_name", 112)
        self.assert_alert(client_hello(name_of(port=81)), "unknown_name", 112)
        self.assert_alert(client_hello(name_of(cluster="east")), "other_cluster", 112)
        self.assert_works()

    def test_what_is_no_tunnel(self):
        self.assert_alert(client_hello(None), "no_server_name", 109)
        self.assert_alert(client_hello(name_of(), alpn="http/1.1"), "not_tombolo", 120)
        self.assert_alert(client_hello(name_of(), alpn=None), "not_tombolo", 120)
        hello = client_hello(name_of())
        self.assert_alert(hello[:5] + b"\2" + hello[6:], "malformed", 50)
        large = b"\x16\3\1\x40\0\1\0\xff\xff" + bytes(20000)
        self.assert_alert(large, "too_large", 22)
        self.assert_works()

    def test_garbage_is_reset(self):
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\0", os.urandom(65536), b"SSH-2.0-x\r\n"):
            garbage = garbage if garbage[:1] != b"\x16" else b"\0" + garbage
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                self.assertEqual(how_it_ends(self.dial(garbage)), ("reset", b""))
        self.assert_refused("not_tls", 4)
        self.assert_works()

    def test_fragments(self):
        hello = client_hello(name_of())
        for size in (10, 100):
            self.tunnel(in_records(hello, size))
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            self.assertEqual(how_it_ends(self.dial(in_records(hello, 1)))[0], "eof")
        self.assert_refused("malformed")
        client = self.dial()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in hello:
            client.sendall(bytes([byte]))
        node, _ = self.taken()
        self.assertEqual(node.recv(len(hello), socket.MSG_WAITALL), hello)

    def silent(self, count):
        """Connections that say nothing; a reset may be quicker than a connect() that waits."""
        def connect():
            sockets = [socket.socket() for _ in range(count)]
            for sock in sockets:
                sock.setblocking(False)
                sock.connect_ex((self.gateway.host, self.gateway.port))
            return sockets
        sockets = host.in_netns(network.path(self.west.netns), connect)
        self._sockets += sockets
        return sockets

    def test_slow_loris(self):
        hello = client_hello(name_of())
        slow = [self.dial(hello[:1]) for _ in range(20)]
        begun, sent = time.monotonic(), 1
        open_ones = set(slow + [self.dial() for _ in range(10)])  # some say nothing at all
        while open_ones and time.monotonic() < begun + host.PATIENCE:
            for sock in list(open_ones):
                try:
                    if sock in slow:
                        sock.sendall(hello[sent:sent + 1])
                    if sock in select.select([sock], [], [], 0)[0]:
                        self.assertEqual(how_it_ends(sock), ("reset", b""))
                        open_ones.discard(sock)
                except (ConnectionResetError, BrokenPipeError):
                    open_ones.discard(sock)
            sent = min(sent + 1, len(hello) - 2)
            time.sleep(0.05)
        self.assertEqual(open_ones, set())
        self.assert_refused("timeout", 30)
        self.assert_works()

    def test_a_flood_is_refused_and_counted(self):
        """Strangers cannot have more connections without a ClientHello than their share, and the
        tunnels that there are go on."""
        client, node, _ = self.answered()
        flood = self.silent(100)
        self.assert_refused("handshake_limit", 60)
        client.sendall(b"still")
        self.assertEqual(node.recv(5), b"still")
        for sock in flood:
            sock.close()
        self.assert_refused("gone", 40)
        self.assert_works()
        self.assert_logged(self.gateway, self.log_start, "tunnel refused", "handshake_limit",
                           "limits.handshakes_per_address")

    def test_handshakes_that_get_nowhere(self):
        """Whoever knows a name has no more of a node's handshakes than a share of the gateway's."""
        tunnels = [self.tunnel() for _ in range(40)]
        self.assertEqual(self.how_refused(client_hello(name_of())), ("reset", b""))
        self.assert_refused("handshake_limit")
        client, node, _ = tunnels[0]
        node.sendall(b"server's flight")
        client.recv(100)
        client.sendall(b"client's")
        node.recv(100)
        self.assert_works()
        tunnels[1][0].close()
        tunnels[1][1].close()
        host.wait_until("another to end", lambda: len(self.gateway.tunnels()) == 39)
        self.assert_works()

    def test_all_connections(self):
        tunnels = [self.answered() for _ in range(120)]
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            self.assertEqual(self.how_refused(client_hello(name_of())), ("reset", b""))
        self.assert_refused("connection_limit")
        tunnels[0][0].close()
        tunnels[0][1].close()
        host.wait_until("the tunnel to end", lambda: len(self.gateway.tunnels()) == 119)
        self.assert_works()

    def test_a_peer_that_ends_early_is_forgotten_at_once(self):
        begun = time.monotonic()
        client = self.dial(client_hello(name_of())[:100])
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(how_it_ends(client), ("reset", b""))
        self.assertLess(time.monotonic() - begun, 3)
        self.assert_refused("gone")


if __name__ == "__main__":
    case.main()
