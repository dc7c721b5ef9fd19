# SPDX-License-Identifier: Apache-2.0
"""The tests' own tools: a verdict is worth something only if it can be a bad one."""
import glob
import os
import socket
import threading
import time

from testing import case, driver, host, network, pki, topology, wire
from testing.capture import Capture
from testing.topology import TUNNEL_PORT

MARKER = b"harness-marker-51c0"


class HarnessTest(case.TopologyCase):
    """Two clusters without agents."""

    topology_name = "harness"
    start_agents = False

    @classmethod
    def build(cls):
        cls.east, cls.west = cls.topo.cluster("east"), cls.topo.cluster("west")
        cls.one, cls.two = (cls.east.pod(name, enrolled=False) for name in ("one", "two"))
        cls.far = cls.west.pod("far", enrolled=False)

    def transfer(self, talk_server, talk_client):
        """A capture of the link while two functions talk over a connection of the nodes."""
        address = (self.west.ip, TUNNEL_PORT)
        with Capture(self.east.netns) as capture:
            listener = host.in_netns(network.path(self.west.netns),
                                     lambda: socket.create_server(address))

            def serve():
                sock, _ = listener.accept()
                talk_server(sock)
                sock.close()
            server = threading.Thread(target=serve)
            server.start()
            client = host.in_netns(network.path(self.east.netns),
                                   lambda: socket.create_connection(address,
                                                                     timeout=host.PATIENCE))
            talk_client(client)
            client.close()
            server.join()
            listener.close()
        return capture.only("link0")

    def test_capture_accepts_tls(self):
        root = pki.Root(f"{self.topo.dir}/root{os.getpid()}")
        files = root.issue("both", "spiffe://tombolo.example/a")

        def serve(sock):
            context = wire.server_context(*files, root.certificate)
            with context.wrap_socket(sock, server_side=True) as tls:
                while tls.recv(65536):
                    pass

        def call(sock):
            with wire.client_context(*files).wrap_socket(sock) as tls:
                tls.sendall(MARKER * 100000)
        capture = self.transfer(serve, call)
        verdict = capture.judge_tls(TUNNEL_PORT)
        self.assertTrue(verdict.ok, verdict)
        self.assertGreater(verdict.octets, 100000 * len(MARKER))
        self.assertEqual(capture.find(MARKER), [])
        self.assertEqual(capture.other_ports(TUNNEL_PORT), [])
        self.assertNotEqual(capture.other_ports(1), [])

    def test_capture_rejects_plaintext_and_finds_the_marker(self):
        def call(sock):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(b"GET / " + MARKER[:7])
            sock.sendall(MARKER[7:])
        capture = self.transfer(lambda sock: sock.recv(100, socket.MSG_WAITALL), call)
        self.assertFalse(capture.judge_tls(TUNNEL_PORT).ok)
        self.assertTrue(any("stream" in place for place in capture.find(MARKER)))
        self.assertNotEqual(capture.traffic(), [])

    def test_capture_rejects_plaintext_after_tls(self):
        record = b"\x16\x03\x01\0\x05hello"
        capture = self.transfer(lambda sock: sock.recv(1000, socket.MSG_WAITALL),
                                lambda sock: sock.sendall(record * 3 + b"GET / HTTP/1.1\r\n"))
        self.assertFalse(capture.judge_tls(TUNNEL_PORT).ok)

    def test_a_quiet_wire_is_quiet(self):
        with Capture(self.east.netns) as capture:
            self.one.run(["true"])
        self.assertEqual(capture.traffic(), [])
        self.assertFalse(capture.judge_tls(TUNNEL_PORT).ok, "nothing seen is not proof of TLS")

    def test_pods_reach_their_node_and_nothing_of_another_cluster(self):
        server = driver.serve(self.two, 8080, "recv-eof")
        self.assertEqual(self.one.ip, self.far.ip)
        near = driver.connect(self.one, self.two.ip, 8080, "send:10,shutdown,recv-eof")
        self.assertEqual(near["end"], "eof")
        # West has a pod with address .10 only, so .11 must not be found from there.
        far = driver.connect(self.far, self.two.ip, 8080, "send:10")
        self.assertNotEqual(far["connect"], "ok")
        for address in (self.west.ip, self.west.ip6, "10.96.0.10", "fd00:96::10"):
            self.assertNotEqual(driver.connect(self.one, address, 8080, "send:1")["connect"], "ok")
        server.kill()

    def test_peers_notice_a_changed_byte(self):
        server = driver.serve(self.two, 8080, "recv-eof")
        driver.connect(self.one, self.two.ip, 8080, "send:70000,text:x,send:5")
        report = server.next()
        self.assertEqual((report["received"], report["corrupt_at"] is not None), (70006, True))
        server.kill()

    def test_processes_are_in_their_pod(self):
        done = self.one.run(["sh", "-c", "cat /proc/self/cgroup; readlink /proc/self/ns/net"],
                            cgroup="a/b")
        self.assertIn("0::/tombolo-harness/east/one/a/b\n", done.stdout)
        inode = os.stat(network.path(self.one.netns)).st_ino
        self.assertIn(f"net:[{inode}]", done.stdout)


class WideTest(case.TopologyCase):
    """Clusters with several nodes and gateways: who reaches whom."""

    topology_name = "wide"
    start_agents = False

    @classmethod
    def build(cls):
        cls.east = cls.topo.cluster("east", nodes=2, gateways=2)
        cls.west = cls.topo.cluster("west", nodes=2, gateways=2)
        cls.west.link.shape = (0,)
        cls.pod = cls.east.pod("one", enrolled=False, node=2)
        cls.listeners = []

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for place in cls.topo.places():
            address = place.lan if place in cls.topo.nodes() else place.ip
            cls.listeners.append(host.in_netns(
                network.path(place.netns), lambda a=address: socket.create_server((a, TUNNEL_PORT))))
            threading.Thread(target=cls._answer, args=(cls.listeners[-1], place.netns),
                             daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        for listener in cls.listeners:
            listener.close()

    @staticmethod
    def _answer(listener, name):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return  # closed: the test is over
            sock.sendall(name.encode())
            sock.close()

    @staticmethod
    def ask(place, address, timeout=host.PATIENCE):
        """Who answers there, in the eyes of `place`; or why nobody does."""
        def call():
            try:
                with socket.create_connection((address, TUNNEL_PORT), timeout=timeout) as sock:
                    return sock.recv(100).decode()
            except OSError as error:
                return type(error).__name__
        return host.in_netns(network.path(place.netns), call)

    def test_a_cluster_reaches_its_own_nodes_and_everybodys_gateways(self):
        for cluster, other in ((self.east, self.west), (self.west, self.east)):
            for place in cluster.places():
                for node in cluster.nodes:
                    self.assertEqual(self.ask(place, node.lan), node.netns)
                for gateway in cluster.gateways + other.gateways:
                    self.assertEqual(self.ask(place, gateway.ip), gateway.netns)

    def test_another_clusters_nodes_cannot_be_dialled(self):
        for node in self.west.nodes:
            self.assertEqual(self.ask(self.east, node.ip), "ConnectionRefusedError")
            self.assertNotEqual(self.ask(self.east, node.lan), node.netns)  # it has a twin

    def test_pods_get_nowhere(self):
        node = self.pod.node
        addresses = {address for place in self.topo.places() for address in (place.lan, place.ip)}
        for address in addresses - {node.lan, node.ip}:
            self.assertEqual(self.ask(self.pod, address), "OSError", address)  # no route

    def test_names_and_addresses_are_the_same_everywhere(self):
        self.assertEqual([(node.node, node.tunnel) for node in self.east.nodes],
                         [(node.node, node.tunnel) for node in self.west.nodes])

    def test_links_swallow_what_they_are_told_to(self):
        one, two = self.west.gateways
        self.west.link.swallow(one.ip)
        self.assertEqual(self.ask(self.east, one.ip, timeout=0.5), "TimeoutError")
        self.assertEqual(self.ask(self.east, two.ip), two.netns)
        self.west.link.swallow(one.ip, False)
        self.assertEqual(self.ask(self.east, one.ip), one.netns)
        self.west.link.black_hole()
        self.assertEqual(self.ask(self.east, two.ip, timeout=0.5), "TimeoutError")
        self.west.link.black_hole(False)
        self.assertEqual(self.ask(self.east, two.ip), two.netns)

    def test_links_take_their_time_and_lose_what_is_too_large(self):
        gateway = self.west.gateways[0]
        before = time.monotonic()
        self.west.link.change(100)
        self.assertEqual(self.ask(self.east, gateway.ip), gateway.netns)
        self.assertGreater(time.monotonic() - before, 0.3)  # SYN and data, there and back
        self.west.link.change(0, 0, 40)
        self.assertEqual(self.ask(self.east, gateway.ip, timeout=0.5), "TimeoutError")
        self.west.link.change(0, 100)
        self.assertEqual(self.ask(self.east, gateway.ip, timeout=0.5), "TimeoutError")
        self.west.link.change(0)
        self.assertEqual(self.ask(self.east, gateway.ip), gateway.netns)


class TeardownTest(case.TopologyCase):
    """down() needs nothing but the name."""

    topology_name = "teardown"
    start_agents = False

    @classmethod
    def build(cls):
        cls.pod = cls.topo.cluster("east").pod("one", enrolled=False)

    def test_no_trace_is_left(self):
        sleeper = self.pod.start(["sleep", "600"], cgroup="deep")
        host.wait_until("sleep to start", lambda: sleeper.pid in host.cgroup_pids(self.pod.cgroup))
        topology.down("teardown")
        self.assertIsNotNone(sleeper.wait(timeout=host.PATIENCE))
        traces = glob.glob("/run/netns/tb-teardown-*") + glob.glob(f"{host.BPFFS}/*/teardown-*") \
            + glob.glob(f"{host.cgroup2_mount()}/tombolo-teardown") \
            + glob.glob(f"{topology.STATE}/teardown")
        self.assertEqual(traces, [])
        topology.down("teardown")  # and again, with nothing there


if __name__ == "__main__":
    case.main()
