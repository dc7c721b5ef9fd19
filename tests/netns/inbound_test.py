# SPDX-License-Identifier: Apache-2.0
"""Connections whose dialer left the choice of the endpoint to the node, as it does across clusters."""
from collections import Counter

from testing import case, driver, host, pki, wire
from testing.topology import TUNNEL_PORT, Endpoint

PORT = 8080
OK, UNAVAILABLE = 1, 3  # userspace/tunnel/tunnel.proto


class UnnamedEndpointTest(case.TopologyCase):
    """Three pods of one identity on west's node."""

    topology_name = "inbound"
    start_agents = False

    @classmethod
    def build(cls):
        cls.east, cls.west = cls.topo.cluster("east"), cls.topo.cluster("west")
        cls.client = cls.east.pod("client")
        cls.servers = [cls.west.pod(name) for name in ("one", "two", "three")]
        for pod in cls.servers:
            pod.service_account = "server"
        # What was learnt is each thread's own.
        cls.west.agent.config = {"threads": 1, "deadlines": {"endpoint_connect": "3s"}}
        cls.topo.service("shop/server", 80, [Endpoint(pod, PORT) for pod in cls.servers])
        cls.topo.service("shop/pair", 80, [Endpoint(pod, PORT) for pod in cls.servers[:2]])
        cls.topo.service("shop/unready", 80, [Endpoint(cls.servers[0], PORT, ready=False)])
        for service in ("shop/server", "shop/pair", "shop/unready"):
            cls.topo.allow(cls.client, service)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.files = pki.second_root(cls.topo).issue("client", cls.client.id)
        cls.topo.start_agents()

    def setUp(self):
        super().setUp()
        self.west.agent.restart()  # which knows nothing of the tests before

    def open(self, service="shop/server"):
        """(RESULT's code, a tunnel that carries a connection to any endpoint)."""
        sni = wire.server_name(service, 80, self.servers[0].id, "west")
        tunnel = wire.Tunnel(self.east.netns, (self.west.ip, TUNNEL_PORT), sni, *self.files)
        self.addCleanup(tunnel.close)
        tunnel.message(wire.HELLO, wire.hello(), connection=0)
        self.assertEqual(tunnel.receive_message()[0], wire.HELLO)
        tunnel.message(wire.OPEN, wire.open_request(service, 80))
        kind, payload = tunnel.receive_message()
        self.assertEqual((kind, payload[0]), (wire.RESULT, wire.field(1, 0)[0]))
        return payload[1], tunnel

    def serve(self, *pods):
        """Each says its name to whoever connects."""
        for pod in pods:
            driver.serve(pod, PORT, f"text:{pod.name},recv-eof")

    def ask(self, service="shop/server"):
        """The name of the endpoint that took one more connection, which stays open."""
        code, tunnel = self.open(service)
        self.assertEqual(code, OK)
        kind, name = tunnel.receive()
        self.assertEqual(kind, wire.APPLICATION)
        return name.decode()

    def test_the_endpoint_with_the_fewest_connections_takes_the_next(self):
        self.serve(*self.servers)
        self.assertEqual(Counter(self.ask() for _ in range(9)),
                         {"one": 3, "two": 3, "three": 3})

    def test_those_of_another_service_count_too(self):
        self.serve(*self.servers)
        self.assertEqual(Counter(self.ask("shop/pair") for _ in range(4)), {"one": 2, "two": 2})
        self.assertEqual([self.ask(), self.ask()], ["three", "three"])

    def test_where_nobody_listens_another_takes_over(self):
        self.serve(self.servers[1])
        self.assertEqual({self.ask() for _ in range(4)}, {"two"})

    def test_where_all_refuse_the_dialer_is_told(self):
        before = self.west.agent.metrics()
        self.assertEqual(self.open()[0], UNAVAILABLE)
        self.assert_counted(self.west.agent, before, "unavailable")

    def test_one_that_hangs_leaves_the_others_their_time(self):
        hung = driver.hang(self.servers[0], PORT)
        self.addCleanup(hung.wait, host.PATIENCE)
        self.addCleanup(hung.kill)
        self.serve(self.servers[1])
        # All of them are answered within endpoint_connect, which one could have used up.
        self.assertEqual({self.ask("shop/pair") for _ in range(3)}, {"two"})

    def test_endpoints_that_are_not_ready_are_left_alone(self):
        self.serve(self.servers[0])
        self.assertEqual(self.open("shop/unready")[0], UNAVAILABLE)


if __name__ == "__main__":
    case.main()
