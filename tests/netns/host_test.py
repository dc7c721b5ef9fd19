# SPDX-License-Identifier: Apache-2.0
"""Workloads in the node's own namespace, guarded ranges, agents that die, servers that hang."""
import subprocess
import sys
import time

from testing import case, driver, host
from testing.capture import Capture
from testing.topology import Endpoint, Pod

PORT = 8080
# Fills the queue of a listener that never accepts; the kernel then drops every SYN.
_FULL_QUEUE = """
import socket, sys, time
listener = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=0)
fillers = []
for _ in range(64):
    fillers.append(socket.socket())
    fillers[-1].settimeout(0.3)
    try:
        fillers[-1].connect(listener.getsockname())
    except TimeoutError:
        print("full", flush=True)
        time.sleep(600)
"""


class HostWorkload(Pod):
    """A process of the node itself: a cgroup, and the node's own network namespace."""

    def __init__(self, cluster, name, enrolled=True):
        super().__init__(cluster, name, 0, enrolled)
        self.netns, self.ip, self.ip6 = cluster.netns, cluster.ip, cluster.ip6
        if not enrolled:
            return
        cluster.topology.extra_workloads.append({
            "name": self.workload, "cluster": cluster.name, "node": cluster.node,
            "namespace": self.namespace, "service_account": self.service_account,
            "cgroup": self.cgroup.removeprefix(host.cgroup2_mount())})


class HostNamespaceTest(case.TopologyCase):
    """No network namespace tells these workloads apart, only their cgroups."""

    topology_name = "hostns"
    start_agents = False

    @classmethod
    def build(cls):
        cls.east, cls.west = cls.topo.cluster("east"), cls.topo.cluster("west")
        cls.pod, cls.server = cls.east.pod("pod"), cls.west.pod("server")
        cls.allowed, cls.denied = HostWorkload(cls.east, "friend"), HostWorkload(cls.east, "foe")
        cls.stranger = HostWorkload(cls.east, "stranger", enrolled=False)
        cls.one, cls.two = HostWorkload(cls.west, "one"), HostWorkload(cls.west, "two")
        cls.service = cls.topo.service("shop/server", 80, [Endpoint(cls.server, PORT)])
        cls.service_one = cls.topo.service("shop/one", 80, [Endpoint(cls.one, PORT + 1)])
        cls.service_two = cls.topo.service("shop/two", 80, [Endpoint(cls.two, PORT + 2)])
        cls.topo.allow(cls.allowed, "shop/server")
        cls.topo.allow(cls.allowed, "shop/two")
        cls.topo.allow(cls.pod, "shop/one")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for workload in (cls.allowed, cls.denied, cls.one, cls.two):
            host.sh("mkdir", "-p", workload.cgroup)
            cls.topo.issue(workload.id, workload.cluster.agent.svid_dir(workload))
        cls.topo.start_agents()

    def test_all_are_enrolled(self):
        for cluster in self.topo.clusters:
            for entry in cluster.agent.cli("workloads")["workloads"]:
                self.assertEqual((entry["error"], entry["enrolled"]), ("", True), entry)

    def test_clients_are_told_apart(self):
        server = driver.serve(self.server, PORT, "exchange-server")
        for vip in (self.service.vip, self.service.vip6):
            done = driver.connect(self.allowed, vip, 80, "names,exchange:100000:300000")
            self.assert_done(done, sent=100000, received=300000)
            self.assertEqual(done["peername"], [vip, 80])
            self.assert_done(server.next(), received=100000)
            self.assertEqual(driver.connect(self.denied, vip, 80, "send:1")["connect"], "EACCES")
        self.assertEqual(server.reports(), [])
        server.kill()

    def test_a_process_that_nobody_enrolled_is_not_carried(self):
        server = driver.serve(self.server, PORT, "exchange-server")
        result = driver.connect(self.stranger, self.service.vip, 80, "send:1")
        self.assertNotEqual(result["connect"], "ok")
        self.assertEqual(server.reports(), [])
        server.kill()

    def test_both_at_once(self):
        server = driver.serve(self.server, PORT, "exchange-server")
        peers = {workload.name: driver.Peer(workload, "connect", self.service.vip, 80,
                                            "exchange:1000:3000", 20)
                 for workload in (self.allowed, self.denied)}
        for _ in range(20):
            self.assert_done(peers["friend"].next(), received=3000)
            self.assertEqual(peers["foe"].next()["connect"], "EACCES")
        server.kill()

    def _peer_identity(self, client, service, server, port):
        """Who the agent says is on the other end of a running connection."""
        echo = driver.echo(server, port)
        running = driver.Peer(client, "hold", service.vip, 80, 1)
        self.assertEqual(running.next(), {"open": 1, "failures": []})
        found = [entry for entry in self.east.agent.cli("connections")["connections"]
                 if entry["service"] == service.name]
        running.tell()
        self.assertEqual(running.next(), {"alive": 1, "failures": []})
        echo.kill()
        self.assertEqual(len(found), 1, found)
        return found[0]["source_id"], found[0]["peer_id"]

    def test_endpoints_are_told_apart(self):
        self.assertEqual(self._peer_identity(self.pod, self.service_one, self.one, PORT + 1),
                         (self.pod.id, self.one.id))
        self.assertEqual(self._peer_identity(self.allowed, self.service_two, self.two, PORT + 2),
                         (self.allowed.id, self.two.id))
        for client, service in ((self.pod, self.service_two), (self.allowed, self.service_one)):
            self.assertEqual(driver.connect(client, service.vip, 80, "send:1")["connect"],
                             "EACCES")


class ProtectedRangeTest(case.TopologyCase):
    """capture.protected_ranges closes what nobody enrolled may reach."""

    topology_name = "guarded"

    @classmethod
    def build(cls):
        cls.east, cls.west = cls.topo.cluster("east"), cls.topo.cluster("west")
        cls.client, cls.server = cls.east.pod("client"), cls.west.pod("server")
        cls.stranger = cls.east.pod("stranger", enrolled=False)
        cls.service = cls.topo.service("shop/server", 80, [Endpoint(cls.server, PORT)])
        cls.topo.allow(cls.client, "shop/server")
        cls.east.agent.config = cls.guard("10.96.0.0/16", "fd00:96::/32")

    @staticmethod
    def guard(*ranges):
        """East's agent.yaml."""
        return {"capture": {"protected_ranges": list(ranges)}}

    def refusal(self, address):
        """How a stranger's connect() goes."""
        return driver.connect(self.stranger, address, 80, "send:1")["connect"]

    def test_strangers_are_refused_and_workloads_served(self):
        server = driver.serve(self.server, PORT, "send:10")
        for address in (self.service.vip, self.service.vip6, "10.96.200.1", "fd00:96::dead"):
            self.assertEqual(self.refusal(address), "EACCES", address)
        for vip in (self.service.vip, self.service.vip6):
            self.assert_done(driver.connect(self.client, vip, 80, "recv-eof"), received=10)
        local = driver.serve(self.client, PORT, "send:10")  # outside of the range: not our business
        self.assert_done(driver.connect(self.stranger, self.client.ip, PORT, "recv-eof"),
                         received=10)
        for peer in (server, local):
            peer.kill()

    def test_ranges_are_reloaded(self):
        try:
            self.east.agent.config = self.guard()
            self.east.agent.write_config()
            host.wait_until("the range to be opened",
                            lambda: self.refusal("10.96.200.1") != "EACCES", 5)
        finally:
            self.east.agent.config = self.guard("10.96.0.0/16", "fd00:96::/32")
            self.east.agent.write_config()
        host.wait_until("the range to be closed",
                        lambda: self.refusal("10.96.200.1") == "EACCES", 5)


class KilledAgentTest(case.TopologyCase):
    """An agent is killed under a running connection: an application must never take that for the
    orderly end of what it was reading."""

    topology_name = "killed"

    @classmethod
    def build(cls):
        cls.east, cls.west = cls.topo.cluster("east"), cls.topo.cluster("west")
        cls.client, cls.server = cls.east.pod("client"), cls.west.pod("server")
        cls.service = cls.topo.service("shop/server", 80, [Endpoint(cls.server, PORT)])
        cls.topo.allow(cls.client, "shop/server")

    def setUp(self):
        super().setUp()
        for cluster in self.topo.clusters:
            if cluster.agent.process.poll() is not None:
                cluster.agent.start()
                cluster.agent.wait_ready()

    def _kill(self, cluster, client_script, server_script):
        """Both sides' ends when the agent of `cluster` dies."""
        server = driver.serve(self.server, PORT, server_script)
        client = driver.Peer(self.client, "connect", self.service.vip, 80, client_script)
        host.wait_until("the connection to be relayed", lambda: any(
            entry["state"] == "open"
            for entry in self.west.agent.cli("connections")["connections"]))
        time.sleep(0.5)
        self.assertEqual((client.reports(), server.reports()), ([], []))
        cluster.agent.kill()
        ends = client.next(timeout=10), server.next(timeout=10)
        server.kill()
        return ends

    def assert_reader_and_writer_reset(self, reader, writer):
        """The reader never sees an end of file; the writer learns it from read or write."""
        self.assertIsNone(reader["corrupt_at"], reader)
        self.assertGreater(reader["received"], 0, reader)
        self.assertEqual(reader["end"], "reset", reader)
        self.assertIn(writer["end"], ("reset", "EPIPE"), writer)

    def test_download_when_the_dialer_dies(self):
        self.assert_reader_and_writer_reset(*self._kill(
            self.east, "recv-eof", "drip:400:0.02:100000,shutdown,recv-eof"))

    def test_download_when_the_acceptor_dies(self):
        self.assert_reader_and_writer_reset(*self._kill(
            self.west, "recv-eof", "drip:400:0.02:100000,shutdown,recv-eof"))

    def test_upload_when_the_dialer_dies(self):
        client, server = self._kill(self.east, "drip:400:0.02:100000,shutdown,recv-eof", "recv-eof")
        self.assert_reader_and_writer_reset(server, client)

    def test_upload_when_the_acceptor_dies(self):
        client, server = self._kill(self.west, "drip:400:0.02:100000,shutdown,recv-eof", "recv-eof")
        self.assert_reader_and_writer_reset(server, client)

    def _both_wait(self, cluster, client_script, server_script):
        client, server = self._kill(cluster, client_script, server_script)
        self.assertEqual((client["end"], server["end"]), ("reset", "reset"))

    def test_waiting_sides_when_the_dialer_dies(self):
        self._both_wait(self.east, "send:10,recv-eof", "recv:10,send:10,recv-eof")

    def test_waiting_sides_when_the_acceptor_dies(self):
        self._both_wait(self.west, "send:10,recv-eof", "recv:10,send:10,recv-eof")

    def _half_closed(self, cluster):
        """The client has ended its direction in order; the answer is cut off."""
        client, server = self._kill(cluster, "send:10,shutdown,recv-eof",
                                    "recv-eof,drip:400:0.02:1000,shutdown")
        self.assertEqual(client["end"], "reset", client)
        self.assert_intact(server, received=10)
        self.assertIn(server["end"], ("reset", "EPIPE"), server)

    def test_half_closed_when_the_dialer_dies(self):
        self._half_closed(self.east)

    def test_half_closed_when_the_acceptor_dies(self):
        self._half_closed(self.west)


class ForeignEndpointTest(case.TopologyCase):
    """A directory names an address that is not the workload's own."""

    topology_name = "foreign"

    @classmethod
    def build(cls):
        cls.east, cls.west = cls.topo.cluster("east"), cls.topo.cluster("west")
        cls.client = cls.east.pod("client")
        cls.server, cls.other = cls.west.pod("server"), cls.west.pod("other")
        addresses = {"neighbour": cls.other.ip, "neighbour6": cls.other.ip6,
                     "node": cls.west.ip, "nobody": "203.0.113.5"}
        cls.services = {name: cls.topo.service(f"shop/{name}", 80, [
            Endpoint(cls.server, PORT, address=address)]) for name, address in addresses.items()}
        cls.own = cls.topo.service("shop/own", 80, [Endpoint(cls.server, PORT)])
        for service in [*cls.services.values(), cls.own]:
            cls.topo.allow(cls.client, service.name)

    def test_it_is_not_connected_to(self):
        servers = [driver.serve(self.other, PORT, "read-text", address=address)
                   for address in (self.other.ip, self.other.ip6)]
        for name, service in self.services.items():
            with self.subTest(name), Capture(self.server.netns) as capture:
                before, start = self.west.agent.metrics(), len(self.west.agent.log())
                result = driver.connect(self.client, service.vip, 80, "text:secret,recv-eof")
                capture.stop()
                self.assertEqual((result["connect"], result["end"]), ("ok", "reset"), result)
                self.assertLess(result["seconds"], 2)
                self.assertEqual((capture.traffic(), capture.drops), ([], 0))
                self.assert_counted(self.west.agent, before, "unavailable")
                self.assert_logged(self.west.agent, start, "refused", service.name)
        for server in servers:
            self.assertEqual(server.reports(), [])
            server.kill()

    def test_its_own_address_is_served(self):
        server = driver.serve(self.server, PORT, "names,read-text,send:5")
        self.assert_done(driver.connect(self.client, self.own.vip, 80, "text:x,recv-eof"),
                         received=5)
        self.assertEqual(server.next()["sockname"], [self.server.ip, PORT])
        server.kill()


class FullQueueTest(case.TopologyCase):
    """An endpoint whose process hangs: its kernel drops every SYN."""

    topology_name = "fullqueue"

    @classmethod
    def build(cls):
        cls.east, cls.west = cls.topo.cluster("east"), cls.topo.cluster("west")
        cls.client = cls.east.pod("client")
        cls.hung, cls.fine = cls.west.pod("hung"), cls.west.pod("fine")
        cls.west.agent.config = {"deadlines": {"endpoint_connect": "1s"}}
        cls.alone = cls.topo.service("shop/alone", 80, [Endpoint(cls.hung, PORT)])
        cls.pair = cls.topo.service("shop/pair", 80, [Endpoint(cls.hung, PORT),
                                                      Endpoint(cls.fine, PORT)])
        for service in (cls.alone, cls.pair):
            cls.topo.allow(cls.client, service.name)

    def setUp(self):
        super().setUp()
        self.process = self.hung.start([sys.executable, "-c", _FULL_QUEUE, self.hung.ip, str(PORT)],
                                       stdout=subprocess.PIPE, text=True)
        self.assertEqual(self.process.stdout.readline(), "full\n")

    def tearDown(self):
        self.process.kill()
        self.process.wait(timeout=10)
        super().tearDown()

    def test_the_only_endpoint_hangs(self):
        before = self.west.agent.metrics()
        result = driver.connect(self.client, self.alone.vip, 80, "send:10,recv-eof")
        self.assertEqual(result["end"], "reset", result)
        self.assertGreater(result["seconds"], 0.9)
        self.assertLess(result["seconds"], 2.5)
        self.assert_counted(self.west.agent, before, "unavailable")

    def test_another_endpoint_takes_over(self):
        server = driver.serve(self.fine, PORT, "recv:1000,send:10,shutdown,recv-eof")
        before = self.east.agent.metrics()
        results = driver.connect_many(self.client, self.pair.vip, 80,
                                      "send:1000,recv:10,shutdown,recv-eof", 8)
        for result in results:
            self.assert_done(result, sent=1000, received=10)
            self.assertLess(result["seconds"], 3)
        for _ in results:
            self.assert_done(server.next(timeout=5), received=1000)
        self.assertEqual(server.reports(), [], "a connection was delivered twice")
        self.assertGreater(max(result["seconds"] for result in results), 0.9,
                           "none met the endpoint that hangs")
        self.assert_counted(self.east.agent, before, "retries")
        server.kill()


if __name__ == "__main__":
    case.main()
