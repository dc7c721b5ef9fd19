# SPDX-License-Identifier: Apache-2.0
"""What distance does to connections, and ways that end without a word."""
import socket

from netns.clusters_test import PORT, ClustersCase
from testing import case, driver, host
from testing.capture import Capture

ONE_WAY_MS = 1000  # so much that a busy machine's own time does not matter beside it
FIRST_BYTE = "send:10,recv:10"


class FarTest(ClustersCase):
    """West is a second away, south is near."""

    topology_name = "far"
    config = {"deadlines": {"handshake": "60s", "dial": "60s", "connect": "120s", "ping": "60s"}}

    @classmethod
    def build(cls):
        super().build()
        for service in cls.services.values():
            service.balancing = {"order": "latency"}
        cls.west.link.shape = (0,)

    def setUp(self):
        super().setUp()
        self.west.link.change(ONE_WAY_MS)
        self.addCleanup(self.west.link.change, 0)

    def test_the_first_byte_of_a_warm_tunnel_takes_one_round_trip(self):
        driver.serve(self.two, PORT, "recv:10,send:10")
        round_trip = 2 * ONE_WAY_MS / 1000

        def one():
            result = driver.connect(self.client, self.vip("moving"), 80, FIRST_BYTE)
            self.east.agent.wait_no_connections()  # the tunnel is idle again
            return result
        cold, *warm = [one() for _ in range(3)]
        for result in (cold, *warm):
            self.assert_done(result, sent=10, received=10)
        # TCP's and TLS's handshakes, which the others are spared.
        self.assertGreater(cold["seconds"], 3 * round_trip - 0.1)
        for result in warm:
            self.assertGreater(result["seconds"], round_trip - 0.1)
            self.assertLess(result["seconds"], 2 * round_trip - 0.1, "another round trip")

    def test_the_nearer_cluster_is_preferred_once_both_are_measured(self):
        self.name_servers(self.one, self.two, self.far)
        self.assertIn(self.ask("west"), ("one", "two"))

        def measured_both():
            self.ask("both")
            return len(self.round_trips()) == 2
        host.wait_until("both to be measured", measured_both)
        self.assertEqual({self.ask("both") for _ in range(16)}, {"far"})
        measured = self.round_trips()
        self.assertGreater(measured["west"], 2 * ONE_WAY_MS - 100)
        self.assertLess(measured["south"], ONE_WAY_MS)

    def round_trips(self):
        """In milliseconds, of the clusters of which east's node knows."""
        return {cluster["name"]: cluster["round_trip_us"] / 1000
                for cluster in self.east.agent.cli("clusters")["clusters"]
                if "round_trip_us" in cluster}


class DeadTest(ClustersCase):
    """A whole cluster is there no more, and nobody says so."""

    topology_name = "dead"
    # To try a dead way would take a connection longer than any may take here.
    config = {"deadlines": {"ping": "1s", "dial": "60s", "connect": "120s"}}

    def test_a_black_holed_cluster_is_known_by_its_idle_tunnels(self):
        self.name_servers(self.one, self.far)
        seen = set()

        def idle_everywhere():
            for result in driver.connect_many(self.client, self.vip("both"), 80,
                                              "read-text,shutdown", 16):
                seen.add(result["text"])
            return {gateway.address for gateway in self.west.gateways} <= self.ways()
        host.wait_until("tunnels to both gateways", idle_everywhere)
        self.assertEqual(seen, {"one", "far"})
        self.east.agent.wait_no_connections()
        before = self.east.agent.metrics()["tombolo_dead_ways_total"]
        self.west.link.black_hole()
        self.addCleanup(self.west.link.black_hole, False)
        host.wait_until("both ways to be dead", lambda: self.east.agent.metrics()[
            "tombolo_dead_ways_total"] >= before + 2)
        for result in driver.connect_many(self.client, self.vip("both"), 80, "read-text,shutdown",
                                          20):
            self.assertEqual(result.get("text"), "far", result)
            self.assertLess(result["seconds"], 50, "a dead way was tried")


class SilentGatewayTest(ClustersCase):
    """A gateway that nothing is known of, because no tunnel is ever idle."""

    topology_name = "silentgw"
    DIAL = 8
    config = {"deadlines": {"ping": "0s", "idle_tunnel": "0s", "dial": f"{DIAL}s", "connect": "60s"}}

    def test_new_connections_go_elsewhere_within_one_dial_timeout(self):
        self.name_servers(self.one, self.two)
        silent = self.west.gateways[0].ip
        self.west.link.swallow(silent)
        self.addCleanup(self.west.link.swallow, silent, False)
        capture = Capture(self.east.netns)
        results = driver.connect_many(self.client, self.vip("west"), 80, "read-text,shutdown", 16)
        capture.stop()
        for result in results:
            self.assertIn(result.get("text"), ("one", "two"), result)
            self.assertLess(result["seconds"], 2 * self.DIAL)
        destination = slice(16, 20)  # of an IPv4 header
        self.assertTrue(any(packet.data[destination] == socket.inet_aton(silent)
                            for packet in capture.packets), "nobody has tried it")


if __name__ == "__main__":
    case.main()
