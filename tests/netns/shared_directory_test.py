# SPDX-License-Identifier: Apache-2.0
"""Clusters that know of each other only what etcd says, each with a directory file of its own."""
from testing import case, driver, host, network
from testing.etcd import Etcd
from testing.topology import TRUST_DOMAIN, Endpoint

PORT = 8080
VIPS = "10.112.0.0/16"


class SharedDirectoryTest(case.TopologyCase):
    """West and south export shop/web; east only has a rule for it."""

    topology_name = "shareddir"
    start_agents = False

    @classmethod
    def setUpClass(cls):
        case.need("etcd", "curl", "openssl")
        super().setUpClass()
        cls.etcd.prepare()
        cls.etcd.start()
        cls.etcd.init()
        cls.etcd.command("namespace", "grant", "shop", "west", "south")
        for place in cls.topo.places():
            place.agent.config = {"threads": 1, "shared_directory": cls.etcd.config(place)}
            place.agent.write_config()
        cls.topo.start_agents()

    @classmethod
    def build(cls):
        cls.east, cls.west, cls.south = (
            cls.topo.cluster(name, gateways=2) for name in ("east", "west", "south"))
        cls.etcd = Etcd(cls.topo)
        cls.client = cls.east.pod("client")
        cls.servers = {cluster: cluster.pod("server") for cluster in (cls.west, cls.south)}
        cls.exported = {cls.west, cls.south}
        for cluster in cls.topo.clusters:
            cluster.own_directory = True
        write, cls.topo.write_directory = cls.topo.write_directory, cls.write_directories
        cls._write = staticmethod(write)

    @classmethod
    def write_directories(cls):
        """Each cluster's own: nobody else's nodes, workloads or services are in it."""
        for cluster in cls.topo.clusters:
            whole = cls.topo.directory()
            whole["clusters"] = [cluster.entry()]
            whole["workloads"] = [entry for entry in whole["workloads"]
                                  if entry["cluster"] == cluster.name]
            whole["services"] = []
            if cluster in cls.exported:
                endpoint = Endpoint(cls.servers[cluster], PORT).entry()
                whole["services"] = [
                    {"name": "shop/web", "vips": ["10.96.0.10"], "export": True,
                     "ports": [{"port": 80, "endpoints": [endpoint]}]}]
            whole["imports"] = {"vips": [VIPS]}
            whole["allow"] = [{"from": f"spiffe://{TRUST_DOMAIN}/cluster/east/ns/shop/sa/client",
                               "to": "shop/web"}]
            cls._write(whole, cluster)

    def setUp(self):
        super().setUp()
        for pod in self.servers.values():
            driver.serve(pod, PORT, f"text:{pod.cluster.name},recv-eof")
        self.vip = host.wait_until("a VIP for shop/web", self.web_vip)
        self.wait_for_clusters("west", "south")

    def web(self, agent=None):
        """shop/web as east's node, or another agent, sees it; or {}."""
        services = (agent or self.east.agent).cli("services")["services"]
        return next((service for service in services if service["name"] == "shop/web"), {})

    def web_vip(self):
        """What east calls it."""
        return next(iter(self.web().get("vips", [])), None)

    def clusters(self, agent=None):
        """Who serves it, ready, for east."""
        return {endpoint["cluster"] for port in self.web(agent).get("ports", [])
                for endpoint in port["endpoints"] if endpoint["ready"]}

    def wait_for_clusters(self, *names):
        """Until east may choose among exactly these."""
        host.wait_until(f"shop/web in {names}", lambda: self.clusters() == set(names))

    def ask(self):
        """Which cluster answers a new connection, or how that failed."""
        result = driver.connect(self.client, self.vip, 80, "read-text,shutdown")
        return result.get("text") or result.get("end") or result["connect"]

    def test_a_service_that_only_others_have(self):
        self.assertTrue(self.vip.startswith("10.112."), self.vip)
        self.assertLessEqual({self.ask() for _ in range(10)}, {"west", "south"})
        status = self.east.agent.cli("status")["shared_directory"]
        self.assertTrue(status["in_sync"])
        self.assertEqual(status["refused"], [])

    def test_a_gateway_follows_what_others_say(self):
        gateway = self.east.gateways[0].agent
        host.wait_until("the gateway to know of both",
                        lambda: self.clusters(gateway) == {"west", "south"})
        self.exported.remove(self.south)
        self.addCleanup(self.write_directories)
        self.addCleanup(self.exported.add, self.south)
        self.write_directories()
        host.wait_until("the gateway to know of the change",
                        lambda: self.clusters(gateway) == {"west"})

    def test_only_services_are_reached_where_imported_ones_may_be(self):
        result = driver.connect(self.client, "10.112.200.200", 80, "recv-eof")
        self.assertEqual(result["connect"], "ECONNREFUSED")

    def test_a_drained_cluster_gets_nothing_new(self):
        self.etcd.command("cluster", "drain", "west")
        self.addCleanup(self.etcd.command, "cluster", "undrain", "west")
        host.wait_until("only south to answer", lambda: {self.ask() for _ in range(10)} == {"south"})

    def test_a_namespace_that_is_taken_back(self):
        self.etcd.command("namespace", "revoke", "shop", "west")
        self.addCleanup(self.etcd.command, "namespace", "grant", "shop", "west")
        self.wait_for_clusters("south")
        self.assertEqual({self.ask() for _ in range(5)}, {"south"})

    def test_a_cluster_that_stops_exporting(self):
        self.exported.remove(self.south)
        self.addCleanup(self.write_directories)
        self.addCleanup(self.exported.add, self.south)
        self.write_directories()
        self.wait_for_clusters("west")
        self.assertEqual({self.ask() for _ in range(5)}, {"west"})

    def test_a_cluster_whose_gateways_have_died_is_left_out(self):
        for gateway in self.west.gateways:
            gateway.agent.kill()
        self.addCleanup(self.start_agents_again)
        self.wait_for_clusters("south")
        self.assertEqual({self.ask() for _ in range(5)}, {"south"})

    def test_connections_outlive_the_leases_of_their_cluster(self):
        """Its gateways are out of touch with etcd, and work: nothing new goes there."""
        self.etcd.command("cluster", "drain", "south")
        self.addCleanup(self.etcd.command, "cluster", "undrain", "south")
        host.wait_until("only west to answer", lambda: {self.ask() for _ in range(10)} == {"west"})
        running = driver.Peer(self.client, "connect", self.vip, 80,
                              "read-text,wait,shutdown,recv-eof")
        self.addCleanup(running.kill)
        host.wait_until("the connection", lambda: any(
            connection["service"] == "shop/web" and connection["state"] == "open"
            for connection in self.east.agent.cli("connections")["connections"]))
        for gateway in self.west.gateways:
            cut = f"route add blackhole {self.etcd.members[0].address}"
            network.batch(gateway.netns, [cut])
            self.addCleanup(network.batch, gateway.netns, [cut.replace("add", "del")])
        self.wait_for_clusters("south")
        # The thread that answers so has judged the running one, too.
        self.assertEqual({self.ask() for _ in range(5)}, {"south"})
        running.tell()
        result = running.next()
        self.assertEqual((result["text"], result["end"]), ("west", "eof"))

    def test_a_gateway_that_ends_in_order_is_taken_out_at_once(self):
        first, second = self.south.gateways
        first.agent.stop()
        self.addCleanup(self.start_agents_again)

        def gone():
            south = next(cluster for cluster in self.east.agent.cli("clusters")["clusters"]
                         if cluster["name"] == "south")
            return [way["address"] for way in south["ways"]] == [second.address]
        host.wait_until("the gateway to be gone from the directory", gone)

    def test_an_agent_starts_while_etcd_is_away(self):
        vip = self.vip
        self.etcd.stop()
        self.addCleanup(self.etcd.start)
        self.east.agent.restart()
        self.wait_for_clusters("west", "south")
        self.assertEqual(self.web_vip(), vip)
        self.assertIn(self.ask(), ("west", "south"))
        status = self.east.agent.cli("status")["shared_directory"]
        self.assertFalse(status["in_sync"])
        self.assertIn("kept_at", status)


if __name__ == "__main__":
    case.main()
