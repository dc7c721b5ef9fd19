# SPDX-License-Identifier: Apache-2.0
"""Which node a gateway hands a tunnel to."""
import time

from netns.gateway_case import Backend, GatewayCase, Node, how_it_ends, name_of
from testing import case, host, network
from testing.wire import client_hello

BLACK_HOLE = "198.51.100.1:15008"


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


if __name__ == "__main__":
    case.main()
