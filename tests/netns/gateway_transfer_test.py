# SPDX-License-Identifier: Apache-2.0
"""What the two ends of a tunnel through a gateway see of each other."""
import contextlib
import os
import select
import socket
import threading

from netns.gateway_case import SERVICE, GatewayCase, how_it_ends, reset
from testing import case, host
from testing.conversation import pattern, pieces

MEGABYTES = case.scaled(32 << 20, 1 << 20)


def send_pattern(sock, role, size):
    """So many bytes, and no end."""
    offset = 0
    for piece in pieces(size):
        sock.sendall(pattern(role, offset, piece))
        offset += piece


def receive_pattern(sock, role, size):
    """Exactly so many bytes of it."""
    offset = 0
    while offset < size:
        data = sock.recv(min(size - offset, 1 << 18))
        if data != pattern(role, offset, len(data)) or not data:
            raise AssertionError(f"after {offset} of {size} bytes: {data[:20]!r}")
        offset += len(data)


class TransferTest(GatewayCase):
    """What the two ends see of each other."""

    topology_name = "gwbytes"

    def test_every_byte_both_ways(self):
        client, node, _ = self.tunnel()
        jobs = [threading.Thread(target=send_pattern, args=(sock, role, MEGABYTES), daemon=True)
                for sock, role in ((client, "client"), (node, "server"))]
        failed = []

        def receive(sock, role):
            try:
                receive_pattern(sock, role, MEGABYTES)
            except (AssertionError, OSError) as error:
                failed.append(error)
        jobs += [threading.Thread(target=receive, args=arguments, daemon=True)
                 for arguments in ((node, "client"), (client, "server"))]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join(120)
        self.assertEqual(failed, [])
        shown, = self.gateway.tunnels()
        self.assertEqual(shown["bytes_from_node"], MEGABYTES)
        self.assertEqual(shown["service"], SERVICE)
        self.assertIn("west-", shown["node"])

    def test_many_small_exchanges(self):
        client, node, _ = self.tunnel()
        for number in range(case.scaled(2000, 100)):
            message = b"%d" % number
            client.sendall(message)
            self.assertEqual(node.recv(100), message)
            node.sendall(message)
            self.assertEqual(client.recv(100), message)

    def test_an_end_is_one_in_its_direction_only(self):
        client, node, _ = self.tunnel()
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(node.recv(1), b"")
        job = threading.Thread(target=send_pattern, args=(node, "server", 1 << 20), daemon=True)
        job.start()
        receive_pattern(client, "server", 1 << 20)
        job.join()
        node.close()
        self.assertEqual(how_it_ends(client), ("eof", b""))

    def test_a_reset_is_one(self):
        client, node, _ = self.tunnel()
        reset(client)
        self.assertEqual(how_it_ends(node), ("reset", b""))
        client, node, _ = self.tunnel()
        reset(node)
        self.assertEqual(how_it_ends(client), ("reset", b""))

    def test_a_slow_reader_stops_the_sender(self):
        client, node, _ = self.tunnel()
        node.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while select.select([], [node], [], 2)[1]:
                sent += node.send(pattern("server", sent, 1 << 16))
        self.assertLess(sent, 256 << 20)
        receive_pattern(client, "server", sent)

    def test_idle_tunnels_hold_no_pipe(self):
        before = self.gateway.descriptors()
        ends = [self.tunnel() for _ in range(50)]
        for client, node, _ in ends:
            job = threading.Thread(target=send_pattern, args=(node, "server", 1 << 20), daemon=True)
            job.start()
            receive_pattern(client, "server", 1 << 20)
            job.join()
        # Two sockets each, and the few pipes that each thread keeps.
        self.assertLessEqual(self.gateway.descriptors(), before + 100 + 2 * 16 * os.cpu_count())

    def test_the_command_line(self):
        _, _, number = self.tunnel()
        program = [os.path.join(os.environ["TOMBOLO_BIN"], "tombolo"), "--socket",
                   self.gateway.socket]
        status = host.sh(*program, "status")
        self.assertIn("west-gw-1", status)
        self.assertRegex(status, rf"west-{number + 1} +{self.nodes[number].address} .* 1 ")
        self.assertRegex(host.sh(*program, "tunnels"), rf"{SERVICE} +80 +west-{number + 1} ")
        self.assertEqual(self.gateway.http("/healthz")[0], 200)
        self.assertEqual(self.gateway.http("/readyz")[0], 200)


if __name__ == "__main__":
    case.main()
