# SPDX-License-Identifier: Apache-2.0
"""Which endpoint serves, what happens when none can, and the directory changing under way."""
import time

from testing import case, driver, host, network
from testing.topology import Endpoint

PORT = 8080
NOBODY_LISTENS = 8081
BLACK_HOLE = "198.51.100.1"  # see network.BLACK_HOLE


class EndpointTest(case.TopologyCase):
    """Endpoints that refuse, vanish or do not exist."""

    topology_name = "endpoint"

    @classmethod
    def build(cls):
        cls.east, cls.west = cls.topo.cluster("east"), cls.topo.cluster("west")
        cls.client = cls.east.pod("client")
        cls.server, cls.neighbour = cls.west.pod("server"), cls.east.pod("neighbour")
        server = cls.server

        def service(name, *endpoints):
            cls.topo.allow(cls.client, name)
            return cls.topo.service(name, 80, endpoints)
        cls.empty = service("shop/empty")
        cls.unready = service("shop/unready", Endpoint(server, PORT, ready=False))
        cls.refusing = service("shop/refusing", Endpoint(server, NOBODY_LISTENS))
        cls.half = service("shop/half", Endpoint(server, NOBODY_LISTENS), Endpoint(server, PORT))
        cls.hole = service("shop/hole", Endpoint(server, PORT, address=BLACK_HOLE))
        cls.half_hole = service("shop/halfhole", Endpoint(server, PORT, address=BLACK_HOLE),
                                Endpoint(server, PORT))
        cls.local = service("shop/local", Endpoint(cls.neighbour, PORT))

    def ask(self, service, script="send:100,shutdown,recv-eof"):
        """One client connection to a service."""
        return driver.connect(self.client, service.vip, 80, script)

    def test_connect_itself_refuses_a_service_without_endpoints(self):
        for service in (self.empty, self.unready):
            self.assertEqual(self.ask(service)["connect"], "ECONNREFUSED")
            result = driver.connect(self.client, service.vip6, 80, "send:1")
            self.assertEqual(result["connect"], "ECONNREFUSED")

    def test_refusing_endpoint_resets(self):
        self.assertEqual(self.ask(self.refusing)["end"], "reset")

    def test_refusing_endpoint_fails_over(self):
        server = driver.serve(self.server, PORT, "recv-eof,send:100")
        for _ in range(20):
            self.assert_done(self.ask(self.half), sent=100, received=100)
        server.kill()

    def test_black_holed_endpoint_resets_within_the_deadlines(self):
        result = self.ask(self.hole)
        self.assertEqual(result["end"], "reset", result)
        self.assertLess(result["seconds"], 12)  # deadlines.connect is 10s

    def test_black_holed_endpoint_fails_over(self):
        server = driver.serve(self.server, PORT, "recv-eof,send:100")
        for _ in range(4):
            result = self.ask(self.half_hole)
            self.assert_done(result, sent=100, received=100)
            self.assertLess(result["seconds"], 12)
        server.kill()

    def test_service_of_the_own_cluster(self):
        server = driver.serve(self.neighbour, PORT, "recv-eof,send:100")
        self.assert_done(self.ask(self.local), sent=100, received=100)
        server.kill()

    def test_a_port_that_the_service_has_not(self):
        result = driver.connect(self.client, self.half.vip, 81, "send:1")
        self.assertNotEqual(result["connect"], "ok", result)


class BlackHoledNodeTest(case.TopologyCase):
    """A whole node that does not answer, among two that serve."""

    topology_name = "deadnode"

    @classmethod
    def build(cls):
        cls.client = cls.topo.cluster("east").pod("client")
        cls.west, cls.north = cls.topo.cluster("west"), cls.topo.cluster("north")
        cls.servers = [cls.west.pod("server"), cls.north.pod("server")]
        cls.service = cls.topo.service("shop/server", 80,
                                       [Endpoint(pod, PORT) for pod in cls.servers])
        cls.topo.allow(cls.client, "shop/server")

    def test_fails_over_to_another_cluster(self):
        servers = [driver.serve(pod, PORT, "recv-eof,send:100") for pod in self.servers]
        network.batch(self.north.netns, ["link set link1 down"])
        for _ in range(6):
            result = driver.connect(self.client, self.service.vip, 80,
                                    "send:100,shutdown,recv-eof")
            self.assert_done(result, sent=100, received=100)
            self.assertLess(result["seconds"], 12)
        for server in servers:
            server.kill()


class SameAddressesTest(case.TopologyCase):
    """Clients and servers with equal addresses in both clusters, calling each other at once."""

    topology_name = "twins"

    @classmethod
    def build(cls):
        cls.clusters = [cls.topo.cluster("east"), cls.topo.cluster("west")]
        cls.servers = [cluster.pod("server") for cluster in cls.clusters]
        cls.clients = [cluster.pod("client") for cluster in cls.clusters]
        cls.services = [cls.topo.service(f"shop/{pod.cluster.name}", 80, [Endpoint(pod, PORT)])
                        for pod in cls.servers]
        for client in cls.clients:
            cls.topo.allow(client, "shop/east")
            cls.topo.allow(client, "shop/west")

    def test_each_reaches_the_other(self):
        self.assertEqual(self.servers[0].ip, self.servers[1].ip)
        servers = [driver.serve(pod, PORT, "exchange-server") for pod in self.servers]
        calls = [(self.clients[0], self.services[1], 100), (self.clients[1], self.services[0], 200)]
        peers = [driver.Peer(client, "connect", service.vip, 80, f"exchange:{size}:2000000", 50)
                 for client, service, size in calls]
        for peer in peers:
            for _ in range(50):
                self.assert_done(peer.next(), received=2000000)
        # How much each server got tells whose clients reached it.
        for server, size in zip(servers, (200, 100)):
            for _ in range(50):
                self.assert_done(server.next(), received=size)
            server.kill()


class ReloadTest(case.TopologyCase):
    """The directory changes while the agents run."""

    topology_name = "reload"

    @classmethod
    def build(cls):
        cls.east, cls.west = cls.topo.cluster("east"), cls.topo.cluster("west")
        cls.client, cls.server = cls.east.pod("client"), cls.west.pod("server")
        cls.service = cls.topo.service("shop/server", 80, [Endpoint(cls.server, PORT)])
        cls.topo.allow(cls.client, "shop/server")

    def setUp(self):
        super().setUp()
        self.echo = driver.serve(self.server, PORT, "recv-eof,send:100")

    def tearDown(self):
        self.echo.kill()
        self.load(self.topo.directory())
        super().tearDown()

    def load(self, content):
        """Writes the directory and waits until both agents have taken it."""
        agents = [cluster.agent for cluster in self.topo.clusters]
        before = [agent.cli("status")["snapshot"]["version"] for agent in agents]
        self.topo.write_directory(content)
        host.wait_until("the new directory to be taken", lambda: all(
            agent.cli("status")["snapshot"]["version"] > version
            for agent, version in zip(agents, before)), 10)

    def ask(self, vip=None):
        """One request to the server, or how it was refused."""
        return driver.connect(self.client, vip or self.service.vip, 80,
                              "send:100,shutdown,recv-eof")

    def test_a_new_service_works_without_a_restart(self):
        self.assertNotEqual(self.ask("10.96.0.77")["connect"], "ok")
        content = self.topo.directory()
        content["services"] += [self.service.entry() | {"name": "shop/new",
                                                        "vips": ["10.96.0.77"]}]
        content["allow"] = content["allow"] + [{"from": self.client.id, "to": "shop/new"}]
        self.load(content)
        self.assert_done(self.ask("10.96.0.77"), received=100)

    def test_an_emptied_directory_refuses(self):
        self.assert_done(self.ask(), received=100)
        content = self.topo.directory()
        content["services"], content["allow"] = [], []
        self.load(content)
        self.assertEqual(self.ask()["connect"], "ECONNREFUSED")
        self.assertEqual(self.ask(self.service.vip6)["connect"], "ECONNREFUSED")

    def test_a_bad_directory_keeps_the_old_state_and_says_why(self):
        for text, word in (("services: [", "directory.yaml"),
                           ("trust_domain: tombolo.example\nsurprise: 1\n", "surprise")):
            self.topo.write_directory(text)
            error = host.wait_until("the error in the status", lambda: self.east.agent.cli(
                "status")["snapshot"]["error"])
            host.wait_until(f"an error about {word}", lambda w=word: w in self.east.agent.cli(
                "status")["snapshot"]["error"])
            self.assertIn("directory.yaml", error)
            self.assert_done(self.ask(), received=100)

    def test_a_running_transfer_survives_a_reload(self):
        slow = driver.serve(self.server, 8082, "drip:20:0.1")
        content = self.topo.directory()
        content["services"] += [self.service.entry() | {
            "name": "shop/slow", "vips": ["10.96.0.78"],
            "ports": [{"port": 80, "endpoints": [Endpoint(self.server, 8082).entry()]}]}]
        content["allow"] = content["allow"] + [{"from": self.client.id, "to": "shop/slow"}]
        self.load(content)
        peer = driver.Peer(self.client, "connect", "10.96.0.78", 80, "recv-eof")
        time.sleep(0.5)
        content["services"][0]["ports"][0]["endpoints"][0]["weight"] = 2
        self.load(content)
        self.assert_done(peer.next(), received=20000)
        slow.kill()


if __name__ == "__main__":
    case.main()
