# SPDX-License-Identifier: Apache-2.0
"""Which endpoint serves, and what happens when none can."""
from testing import case, driver, host, network
from testing.capture import Capture
from testing.topology import Endpoint

PORT = 8080
NOBODY_LISTENS = 8081
NOBODY = "203.0.113.5"
# deadlines.connect is 10s. The rest is for a slow machine; TCP itself would try for minutes.
MOST_SECONDS = 25


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
        cls.astray = service("shop/astray", Endpoint(server, PORT, address=NOBODY),
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

    def test_an_address_of_nobody_fails_over(self):
        server = driver.serve(self.server, PORT, "recv-eof,send:100")
        before = self.east.agent.metrics()
        for _ in range(20):
            self.assert_done(self.ask(self.astray), sent=100, received=100)
        self.assert_counted(self.east.agent, before, "retries")  # it was met
        server.kill()

    def test_service_of_the_own_cluster(self):
        server = driver.serve(self.neighbour, PORT, "recv-eof,send:100")
        self.assert_done(self.ask(self.local), sent=100, received=100)
        server.kill()

    def test_a_port_that_the_service_has_not(self):
        result = driver.connect(self.client, self.half.vip, 81, "send:1")
        self.assertNotEqual(result["connect"], "ok", result)


class ForeignEndpointTest(case.TopologyCase):
    """A directory names an address that is not the workload's own."""

    topology_name = "foreign"

    @classmethod
    def build(cls):
        cls.east, cls.west = cls.topo.cluster("east"), cls.topo.cluster("west")
        cls.client = cls.east.pod("client")
        cls.server, cls.other = cls.west.pod("server"), cls.west.pod("other")
        addresses = {"neighbour": cls.other.ip, "neighbour6": cls.other.ip6,
                     "node": cls.west.ip, "nobody": NOBODY}
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
                self.assertLess(result["seconds"], 8)  # less than deadlines.connect
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
        self.process = driver.hang(self.hung, PORT)

    def tearDown(self):
        self.process.kill()
        self.process.wait(timeout=host.PATIENCE)
        super().tearDown()

    def test_the_only_endpoint_hangs(self):
        before = self.west.agent.metrics()
        result = driver.connect(self.client, self.alone.vip, 80, "send:10,recv-eof")
        self.assertEqual(result["end"], "reset", result)
        self.assertGreater(result["seconds"], 0.9)
        self.assertLess(result["seconds"], 2.9)  # the default is 3s
        self.assert_counted(self.west.agent, before, "unavailable")

    def test_another_endpoint_takes_over(self):
        server = driver.serve(self.fine, PORT, "recv:1000,send:10,shutdown,recv-eof")
        before = self.east.agent.metrics()
        results = driver.connect_many(self.client, self.pair.vip, 80,
                                      "send:1000,recv:10,shutdown,recv-eof", 8)
        for result in results:
            self.assert_done(result, sent=1000, received=10)
            self.assertLess(result["seconds"], 8)  # less than deadlines.connect
        for _ in results:
            self.assert_done(server.next(), received=1000)
        self.assertEqual(server.reports(), [], "a connection was delivered twice")
        self.assertGreater(max(result["seconds"] for result in results), 0.9,
                           "none met the endpoint that hangs")
        self.assert_counted(self.east.agent, before, "retries")
        server.kill()


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
        agent = self.topo.clusters[0].agent
        retries = agent.metrics()["tombolo_connection_retries_total"]
        for turn in range(60):  # chance may spare it for a while
            result = driver.connect(self.client, self.service.vip, 80,
                                    "send:100,shutdown,recv-eof")
            self.assert_done(result, sent=100, received=100)
            self.assertLess(result["seconds"], MOST_SECONDS)
            if turn >= 5 and agent.metrics()["tombolo_connection_retries_total"] > retries:
                break
        else:
            self.fail("the dead node was never met")
        for server in servers:
            server.kill()


class SameAddressesTest(case.TopologyCase):
    """Clients and servers with equal addresses in both clusters, calling each other at once."""

    topology_name = "twins"

    @classmethod
    def build(cls):
        cls.clusters = [cls.topo.cluster("east"), cls.topo.cluster("west")]
        for cluster in cls.clusters:
            cluster.agent.config = case.PATIENT
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


if __name__ == "__main__":
    case.main()
