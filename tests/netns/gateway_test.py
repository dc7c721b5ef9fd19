# SPDX-License-Identifier: Apache-2.0
"""A gateway between clients and nodes that are the test's own: it looks at nothing but the name in a
ClientHello, so that neither needs to speak more of TLS than that."""
import contextlib
import errno
import os
import queue
import select
import signal
import socket
import struct
import threading
import time

from testing import case, host, network, wire
from testing.conversation import pattern, pieces
from testing.gateway import Gateway
from testing.topology import TRUST_DOMAIN
from testing.wire import client_hello, in_records

SERVICE, PORT = "shop/web", 80
RESET = struct.pack("ii", 1, 0)  # SO_LINGER
BLACK_HOLE = "198.51.100.1:15008"
MEGABYTES = case.scaled(32 << 20, 1 << 20)


def identity(account):
    """Of a workload in west."""
    return f"spiffe://{TRUST_DOMAIN}/cluster/west/ns/shop/sa/{account}"


def name_of(account="web", cluster="west", service=SERVICE, port=PORT):
    """What a dialer asks for."""
    return wire.server_name(service, port, identity(account), cluster)


def reset(sock):
    """Closes by a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


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


def how_it_ends(sock):
    """"eof" or "reset", and what came before."""
    got = b""
    try:
        while data := sock.recv(65536):
            got += data
        return "eof", got
    except ConnectionResetError:
        return "reset", got


class Node(threading.Thread):
    """Where an agent would listen: take() is the gateway's next connection."""

    def __init__(self, netns, address):
        super().__init__(daemon=True)
        self.address = address
        where, port = address.rsplit(":", 1)
        self._listener = host.in_netns(network.path(netns),
                                       lambda: socket.create_server((where, int(port))))
        self._accepted = queue.Queue()
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.settimeout(host.PATIENCE)
                self._accepted.put(sock)

    def take(self):
        """The next connection; an error if none comes."""
        return self._accepted.get(timeout=host.PATIENCE)

    def has_none(self):
        """Nobody has connected that has not been taken."""
        return self._accepted.empty()

    def close(self):
        """Nobody listens there any more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join(host.PATIENCE)


class Backend:
    """An endpoint of the directory without a pod."""

    def __init__(self, node, account="web", ready=True, weight=1):
        self.node, self.account, self.ready, self.weight = node, account, ready, weight
        self.workload = f"west/{account}-{node}"

    def entry(self):
        """Below its service."""
        return {"workload": self.workload, "address": "10.0.0.10:8080", "ready": self.ready,
                "weight": self.weight}

    def workload_entry(self):
        """Among the workloads."""
        return {"name": self.workload, "cluster": "west", "node": self.node, "namespace": "shop",
                "service_account": self.account}


class GatewayCase(case.TopologyCase):
    """west with two nodes and a gateway in front of them."""

    start_agents = False
    config = {}
    backends = (Backend("west-1"), Backend("west-2"))

    @classmethod
    def build(cls):
        cls.west = cls.topo.cluster("west")
        cls.gateway = Gateway(cls.west, "west-gw-1")
        cls.gateway.config = cls.config

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        ip = cls.west.ip
        cls.nodes = [Node(cls.west.netns, f"{ip}:1600{n}") for n in (1, 2)]
        cls.write(cls.backends)
        cls.gateway.begin()

    @classmethod
    def directory(cls, backends, gateways=None):
        """With these endpoints of the one service."""
        gateways = [cls.gateway.entry()] if gateways is None else gateways
        west = {"name": "west", "nodes": [{"name": f"west-{n}", "tunnel": node.address}
                                          for n, node in enumerate(cls.nodes, 1)]}
        if gateways:
            west["gateways"] = gateways
        east = {"name": "east", "nodes": [{"name": "east-1", "tunnel": "172.31.9.9:15008"}]}
        service = {"name": SERVICE, "vips": ["10.96.0.10"],
                   "ports": [{"port": PORT, "endpoints": [b.entry() for b in backends]}]}
        return {"trust_domain": TRUST_DOMAIN, "clusters": [west, east],
                "workloads": [b.workload_entry() for b in backends], "services": [service],
                "allow": []}

    @classmethod
    def write(cls, backends, gateways=None):
        """Replaces the directory."""
        cls.topo.write_directory(cls.directory(backends, gateways))

    def setUp(self):
        super().setUp()
        self.log_start = len(self.gateway.log())
        if self.gateway.process.poll() is not None:
            self.gateway.start()
            self.gateway.wait_ready()
        self.before = self.gateway.metrics()
        self._sockets = []

    def tearDown(self):
        for sock in self._sockets:
            sock.close()
        if self.gateway.process.poll() is None:
            host.wait_until("the gateway to carry nothing", lambda: not self.gateway.tunnels())
        self.drop_untaken()
        self.assertEqual(self.gateway.complaints(self.log_start), [])
        super().tearDown()

    def dial(self, sends=b""):
        """A connection to the gateway."""
        address = (self.gateway.host, self.gateway.port)
        sock = host.in_netns(network.path(self.west.netns), lambda: socket.create_connection(
            address, timeout=host.PATIENCE))
        self._sockets.append(sock)
        if sends:
            sock.sendall(sends)
        return sock

    def taken(self):
        """The gateway's next connection to whichever node, and which one."""
        def some():
            return next((n for n, node in enumerate(self.nodes) if not node.has_none()), None)
        host.wait_until("a connection to a node", lambda: some() is not None)
        number = some()
        sock = self.nodes[number].take()
        self._sockets.append(sock)
        return sock, number

    def drop_untaken(self):
        """Closes the connections to nodes that nobody has taken."""
        while not all(node.has_none() for node in self.nodes):
            for node in self.nodes:
                if not node.has_none():
                    node.take().close()

    def dial_known(self, hello):
        """A connection with this ClientHello to a gateway that knows the name: a new directory
        reaches it, and then each of its threads, in its own time."""
        before = self.gateway.refused("unknown_name")
        client = self.dial(hello)

        def answered():
            return (self.gateway.refused("unknown_name") > before
                    or not all(node.has_none() for node in self.nodes))
        host.wait_until("an answer of the gateway", answered)
        return None if self.gateway.refused("unknown_name") > before else client

    def tunnel(self, hello=None):
        """Both ends of a tunnel whose ClientHello has arrived, and the node's number."""
        hello = hello or client_hello(name_of())
        client = host.wait_until("the name to be known", lambda: self.dial_known(hello))
        node, number = self.taken()
        got = b""
        while len(got) < len(hello):
            got += node.recv(len(hello) - len(got))
        self.assertEqual(got, hello)
        return client, node, number

    def assert_works(self):
        """A tunnel from beginning to end."""
        client, node, _ = self.tunnel()
        node.sendall(b"answer")
        self.assertEqual(client.recv(6), b"answer")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(how_it_ends(node), ("eof", b""))
        node.close()
        self.assertEqual(how_it_ends(client), ("eof", b""))

    def assert_refused(self, reason, count=1):
        """So many more for this reason since the test began."""
        key = f'tombolo_gateway_refused_total{{reason="{reason}"}}'
        host.wait_until(f"{count} refused for {reason}",
                        lambda: self.gateway.refused(reason) == self.before[key] + count)


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
        for size in (1, 100):
            self.tunnel(in_records(hello, size))
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
        client, node, _ = self.tunnel()
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

    def test_all_connections(self):
        tunnels = [self.tunnel() for _ in range(120)]
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            self.assertEqual(how_it_ends(self.dial(client_hello(name_of()))), ("reset", b""))
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


class ChoiceTest(GatewayCase):
    """Which node gets a tunnel."""

    topology_name = "gwchoice"
    config = {"deadlines": {"dial": "4s"}}
    backends = (Backend("west-1"), Backend("west-2", weight=3), Backend("west-2", "only"),
                Backend("west-1", "tired", ready=False))

    def test_in_proportion_to_what_is_ready_there(self):
        counts = [0, 0]
        for _ in range(40):
            counts[self.tunnel()[2]] += 1
        self.assertEqual(counts, [10, 30])
        shown = self.gateway.nodes()
        self.assertEqual((shown["west-1"]["tunnels"], shown["west-2"]["tunnels"]), (10, 30))
        metrics = self.gateway.metrics()
        self.assertEqual(metrics['tombolo_gateway_tunnels{node="west-2"}'], 30)

    def test_only_where_the_identity_is(self):
        for _ in range(4):
            self.assertEqual(self.tunnel(client_hello(name_of("only")))[2], 1)
        client = self.dial(client_hello(name_of("tired")))
        self.assertEqual(how_it_ends(client)[0], "eof")
        self.assert_refused("no_endpoint")

    def test_a_node_that_is_gone(self):
        """Its tunnels go elsewhere, and it is tried again later."""
        gone = self.nodes[1]
        gone.close()
        try:
            for _ in range(10):
                self.assertEqual(self.tunnel()[2], 0)
            failures = self.gateway.metrics()[
                'tombolo_gateway_dial_failures_total{node="west-2"}']
            self.assertIn(failures, range(1, 5))  # not one for each tunnel
            self.assert_logged(self.gateway, self.log_start, "node not reached", "west-2")
            client = self.dial(client_hello(name_of("only")))
            self.assertEqual(how_it_ends(client)[1][-1:], bytes([112]))
            self.assert_refused("unavailable")
        finally:
            self.nodes[1] = Node(self.west.netns, gone.address)

        def back():
            return self.tunnel()[2] == 1
        host.wait_until("the node to be tried again", back)

    def test_a_node_that_does_not_answer(self):
        """Packets to it vanish: the tunnel reaches the other one within the deadline."""
        # Nobody at the other end has that link address.
        network.batch(self.west.netns, [
            "link add hole type veth peer name bottom", "link set bottom up", "link set hole up",
            "route add 198.51.100.0/24 dev hole src " + self.west.ip,
            "neigh add 198.51.100.1 lladdr 02:00:00:00:00:01 dev hole nud permanent"])
        directory = self.directory(self.backends)
        directory["clusters"][0]["nodes"][1]["tunnel"] = BLACK_HOLE
        self.topo.write_directory(directory)
        host.wait_until("the gateway to know the node",
                        lambda: self.gateway.nodes()["west-2"]["address"] == BLACK_HOLE)
        begun = time.monotonic()
        self.assertEqual(self.tunnel()[2], 0)
        self.assertLess(time.monotonic() - begun, 3.9)
        # After that it is avoided: not every tunnel waits for it.
        quick = 0
        for _ in range(6):
            begun = time.monotonic()
            self.assertEqual(self.tunnel()[2], 0)
            quick += time.monotonic() - begun < 1.5
        self.assertGreaterEqual(quick, 4)
        self.write(self.backends)
        host.wait_until("the gateway to know the node again", lambda: self.gateway.nodes()
                        ["west-2"]["address"] == self.nodes[1].address)


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
