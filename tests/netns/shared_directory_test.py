# SPDX-License-Identifier: Apache-2.0
"""What clusters learn of each other from etcd while it works, and what a start without it knows."""
from netns.shared_directory_case import SharedDirectoryCase
from testing import case, driver, host, network


class SharedDirectoryTest(SharedDirectoryCase):
    """One member."""

    topology_name = "shareddir"

    def test_a_service_that_only_others_have(self):
        self.assertTrue(self.vip.startswith("10.112."), self.vip)
        self.assertLessEqual({self.ask() for _ in range(10)}, {"west", "south"})
        status = self.east.agent.cli("status")["shared_directory"]
        self.assertTrue(status["in_sync"])
        self.assertEqual(status["refused"], [])

    def test_segments_fit_every_path_to_etcd(self):
        told = network.sockets(self.east.netns, "dst", f"{self.etcd.members[0].address}:2379")
        self.assertTrue(told)
        for line in told:
            self.assertRegex(line, r" advmss:12(08|20) ")  # without, or with, time stamps

    def test_a_gateway_follows_what_others_say(self):
        gateway = self.east.gateways[0].agent
        host.wait_until("the gateway to know of both",
                        lambda: self.clusters(gateway) == {"west", "south"})
        self.exported.remove(self.south)
        self.addCleanup(self.topo.write_directory)
        self.addCleanup(self.exported.add, self.south)
        self.topo.write_directory()
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
        """And with it what runs there: an administrator does not want it."""
        running = self.run_to_west()
        self.etcd.command("namespace", "revoke", "shop", "west")
        self.addCleanup(self.etcd.command, "namespace", "grant", "shop", "west")
        self.wait_for_clusters("south")
        self.assertEqual({self.ask() for _ in range(5)}, {"south"})
        running.tell()
        self.assertEqual(running.next()["end"], "reset")

    def test_a_cluster_that_stops_exporting(self):
        self.exported.remove(self.south)
        self.addCleanup(self.topo.write_directory)
        self.addCleanup(self.exported.add, self.south)
        self.topo.write_directory()
        self.wait_for_clusters("west")
        self.assertEqual({self.ask() for _ in range(5)}, {"west"})

    def run_to_west(self):
        """A connection that has got its text from west, and waits."""
        self.etcd.command("cluster", "drain", "south")
        self.addCleanup(self.etcd.command, "cluster", "undrain", "south")
        host.wait_until("only west to answer", lambda: {self.ask() for _ in range(10)} == {"west"})
        running = driver.Peer(self.client, "connect", self.vip, 80,
                              "read-text,wait,shutdown,recv-eof")
        self.addCleanup(running.kill)
        host.wait_until("the connection", lambda: any(
            connection["service"] == "shop/web" and connection["state"] == "open"
            for connection in self.east.agent.cli("connections")["connections"]))
        return running

    def test_a_cluster_whose_gateways_have_died_is_left_out(self):
        for gateway in self.west.gateways:
            gateway.agent.kill()
        self.addCleanup(self.start_agents_again)
        self.wait_for_clusters("south")
        self.assertEqual({self.ask() for _ in range(5)}, {"south"})

    def test_connections_outlive_the_leases_of_their_cluster(self):
        """Its gateways are out of touch with etcd, and work: nothing new goes there."""
        running = self.run_to_west()
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
