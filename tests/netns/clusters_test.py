# SPDX-License-Identifier: Apache-2.0
"""Three clusters behind two gateways each, and what may happen to a connection between them."""

import signal

from testing import case, driver, host, network
from testing.topology import Endpoint

PORT = 8080


def bbr_is_allowed():
    """Whether a process without privileges could use it; the agent has more."""
    with open("/proc/sys/net/ipv4/tcp_available_congestion_control", encoding="ascii") as names:
        return "bbr" in names.read().split()


class ClustersCase(case.TopologyCase):
    """East asks; west has two nodes with two servers of one identity, south has one."""

    config = {}

    @classmethod
    def build(cls):
        cls.east = cls.topo.cluster("east", nodes=2, gateways=2)
        cls.west = cls.topo.cluster("west", nodes=2, gateways=2)
        cls.south = cls.topo.cluster("south", nodes=1, gateways=2)
        cls.client = cls.east.pod("client")
        cls.local = cls.east.pod("local", node=2)
        cls.back = cls.west.pod("client")  # the twin of the other
        cls.one, cls.two = cls.west.pod("one"), cls.west.pod("two", node=2)
        cls.far = cls.south.pod("far")
        for pod in (cls.one, cls.two, cls.far, cls.local):
            pod.service_account = "server"
        for node in cls.topo.nodes():
            node.agent.config = {"threads": 1} | cls.config
        cls.services = {}
        cls.service("shop/west", cls.one, cls.two)
        cls.service("shop/both", cls.one, cls.far)
        cls.service("shop/moving", cls.two)
        cls.service("shop/local", cls.local)

    @classmethod
    def service(cls, name, *pods):
        """That any client may use."""
        made = cls.topo.service(name, 80, [Endpoint(pod, PORT) for pod in pods])
        cls.services[name.removeprefix("shop/")] = made
        for pod in (cls.client, cls.back):
            cls.topo.allow(pod, name)

    def vip(self, name):
        """The address of a service."""
        return self.services[name].vip

    def serve(self, script, *pods):
        """A server in each pod; they end with the test."""
        return [driver.serve(pod, PORT, script) for pod in pods]

    def name_servers(self, *pods):
        """Servers that say who they are, and wait for the client's end."""
        return [driver.serve(pod, PORT, f"text:{pod.name},recv-eof") for pod in pods]

    def ask(self, service, pod=None):
        """The name of the server that a new connection gets to; or how that failed."""
        result = driver.connect(pod or self.client, self.vip(service), 80, "read-text,shutdown")
        return result.get("text") or result.get("end") or result["connect"]

    def ways(self):
        """The addresses that the tunnels of east's first node lead to, idle and busy."""
        return {entry["peer_address"] for entry in self.east.agent.cli("tunnels")["tunnels"]}

    def publish(self):
        """Writes the directory as the topology is now, and waits until every agent has it."""
        before = {node: node.agent.cli("status")["snapshot"]["version"]
                  for node in self.topo.nodes()}
        self.topo.write_directory()
        for node, version in before.items():
            host.wait_until(f"{node.agent.instance} to read the directory", lambda n=node, v=version:
                            n.agent.cli("status")["snapshot"]["version"] > v)


class AcrossTest(ClustersCase):
    """What works while everything works, and what fails one after the other."""

    topology_name = "across"

    def test_every_byte_arrives_and_only_gateways_are_dialled(self):
        servers = self.serve("exchange-server", self.one, self.two)
        clients = [driver.Peer(self.client, "connect", self.vip("west"), 80,
                               f"exchange:{size}:{2 * size}", 10) for size in (1, 5000, 1000000)]
        for client, size in zip(clients, (1, 5000, 1000000)):
            for _ in range(10):
                self.assert_done(client.next(), received=2 * size)
        counts = [len([server.next() for _ in range(3)]) for server in servers]
        self.assertEqual(counts, [3, 3], "one of the nodes got nearly nothing")
        gateways = {gateway.address for gateway in self.west.gateways}
        tunnels = self.east.agent.cli("tunnels")["tunnels"]
        self.assertEqual({tunnel["peer_address"] for tunnel in tunnels
                          if "/cluster/west/" in tunnel["peer_id"]}, gateways)

    def test_the_same_addresses_everywhere(self):
        self.assertEqual(self.client.ip, self.back.ip)
        self.assertEqual(self.east.tunnel, self.west.tunnel)
        self.name_servers(self.one, self.two, self.local)
        for _ in range(4):
            self.assertEqual(self.ask("local", self.back), "local")
            self.assertIn(self.ask("west"), ("one", "two"))
            self.assertEqual(self.ask("local"), "local")

    def test_the_own_cluster_is_dialled_node_by_node(self):
        self.name_servers(self.local)
        self.assertEqual(self.ask("local"), "local")
        self.assertIn(self.east.nodes[1].tunnel, self.ways())

    def test_a_gateway_killed_under_load(self):
        driver.echo(self.one, PORT)
        driver.echo(self.two, PORT)
        held = driver.Peer(self.client, "hold", self.vip("west"), 80, 20)
        self.assertEqual(held.next(), {"open": 20, "failures": []})
        dead, alive = self.west.gateways
        lost = [entry for entry in self.east.agent.connections(self.client)
                if entry["peer_address"] == dead.address]
        self.assertTrue(0 < len(lost) < 20, "one gateway has all of them")
        dead.agent.kill()
        self.addCleanup(self.start_agents_again)
        repeated = driver.Peer(self.client, "repeat", self.vip("west"), 80, "send:10,shutdown", 100)
        self.assertEqual(repeated.next(), {"done": 100})
        held.tell()
        self.assertEqual(held.next()["alive"], 20 - len(lost))
        self.assertEqual(self.ways(), {alive.address})

    def test_a_node_killed(self):
        self.name_servers(self.one, self.two)
        self.west.nodes[0].agent.kill()
        self.addCleanup(self.start_agents_again)
        self.assertEqual({self.ask("west") for _ in range(20)}, {"two"})

    def test_a_service_moves_under_load(self):
        for pod in (self.two, self.local):
            driver.echo(pod, PORT)
        load = driver.Peer(self.client, "traffic", self.vip("moving"), 80, 0, 1, 20)
        load.next()

        def more():
            load.tell()
            good = load.next()["short"]

            def grown():
                load.tell()
                return load.next()["short"] > good + 10
            host.wait_until("more connections", grown)
        more()
        moving = self.services["moving"]
        self.addCleanup(self.publish)
        self.addCleanup(setattr, moving, "ports", moving.ports)
        moving.ports = {80: [Endpoint(self.two, PORT), Endpoint(self.local, PORT)]}
        self.publish()
        more()
        # The own cluster comes first, so what was under way in west ends soon.
        self.west.nodes[1].agent.wait_no_connections()
        moving.ports = {80: [Endpoint(self.local, PORT)]}
        self.publish()
        more()
        load.tell("end")
        self.assertEqual(load.next()["failures"], [])

    def test_another_congestion_control_where_the_kernel_has_it(self):
        """Whatever the default is, of which tunnels within a cluster have that."""
        places = [*self.east.nodes, *self.west.gateways]
        for place in places:
            before = network.set_congestion_control(place.netns, "reno")
            self.addCleanup(network.set_congestion_control, place.netns, before)
        for node in self.east.nodes:
            node.agent.restart()  # what was dialled before has another one
        for pod in (self.one, self.two, self.local):
            driver.echo(pod, PORT)
        held = [driver.Peer(self.client, "hold", self.vip(name), 80, 8) for name in ("west", "local")]
        for peer in held:
            self.assertEqual(peer.next(), {"open": 8, "failures": []})
        gateways = [gateway.ip for gateway in self.west.gateways]
        far = network.sockets(self.east.netns, "dst", gateways[0], "or", "dst", gateways[1])
        self.assertGreaterEqual(len(far), 8)
        for gateway in self.west.gateways:
            accepted = network.sockets(gateway.netns, "src", gateway.address)
            self.assertGreater(len(accepted), 0)
            far += accepted
        for line in far:
            self.assertLessEqual(int(line.split(" mss:")[1].split()[0]), 1220, line)
            self.assertEqual(" bbr " in line, bbr_is_allowed(), line)
        near = network.sockets(self.east.netns, "dst", self.east.nodes[1].tunnel)
        self.assertGreaterEqual(len(near), 8)
        for line in near:
            self.assertIn(" reno ", line)


class SmallMtuTest(ClustersCase):
    """A link in the middle carries 1280 bytes, and says nothing of what it drops."""

    topology_name = "smallmtu"

    @classmethod
    def build(cls):
        super().build()
        cls.west.link.shape = (1, 0, 1280)

    def test_bulk_gets_through_both_ways(self):
        self.serve("exchange-server", self.one, self.two)
        client = driver.Peer(self.client, "connect", self.vip("west"), 80,
                             "exchange:300000:300000", 4)
        for _ in range(4):
            self.assert_done(client.next(), sent=300000, received=300000)


class LossTest(ClustersCase):
    """A long link that loses packets."""

    topology_name = "loss"

    @classmethod
    def build(cls):
        super().build()
        cls.west.link.shape = (10, 2)

    def test_every_byte_arrives(self):
        self.serve("exchange-server", self.one, self.two)
        client = driver.Peer(self.client, "connect", self.vip("west"), 80,
                             "exchange:100000:100000", 8)
        for _ in range(8):
            self.assert_done(client.next(), sent=100000, received=100000)


class BlackHoleTest(ClustersCase):
    """A gateway that is still there, to which nothing gets any more."""

    topology_name = "blackhole"
    # To try the dead way would take a connection longer than any may take here.
    config = {"deadlines": {"ping": "1s", "dial": "60s", "connect": "120s"}}

    def connect_at_once(self, count):
        """So many connections, which need as many tunnels."""
        results = driver.connect_many(self.client, self.vip("west"), 80, "read-text,shutdown", count)
        for result in results:
            self.assertIn(result.get("text"), ("one", "two"), result)
        return results

    def test_idle_tunnels_notice_and_the_way_is_avoided(self):
        self.name_servers(self.one, self.two)
        dead, alive = self.west.gateways
        self.connect_at_once(16)
        self.east.agent.wait_no_connections()
        self.assertEqual(self.ways(), {dead.address, alive.address})
        before, start = self.east.agent.metrics(), len(self.east.agent.log())
        self.west.link.swallow(dead.ip)
        self.addCleanup(self.west.link.swallow, dead.ip, False)
        self.assert_counted(self.east.agent, before, "dead_ways")
        self.assert_logged(self.east.agent, start, "no answer", dead.address)
        self.assertEqual(self.ways(), {alive.address})
        # More than there are idle tunnels: most have to be dialled.
        for result in self.connect_at_once(40):
            self.assertLess(result["seconds"], 50, "the dead way was tried")


class SilentClusterTest(ClustersCase):
    """A cluster to which nothing gets any more, and no tunnel idles that could notice."""

    topology_name = "silent"
    # Longer than anybody waits for a way that answers.
    config = {"deadlines": {"ping": "0s", "idle_tunnel": "0s", "dial": "15s", "connect": "60s"}}

    def _ejected(self):
        clusters = self.east.agent.cli("clusters")["clusters"]
        west = next(cluster for cluster in clusters if cluster["name"] == "west")
        return [way["address"] for way in west["ways"] if way["ejected"]]

    def test_new_connections_do_not_wait_for_it(self):
        self.name_servers(self.far)
        before = self.east.agent.metrics()
        self.west.link.black_hole()
        self.addCleanup(self.west.link.black_hole, False)
        results = [result for _ in range(2) for result in driver.connect_many(
            self.client, self.vip("both"), 80, "read-text,shutdown", 20)]
        for result in results:
            self.assertEqual(result.get("text"), "far", result)
            self.assertLess(result["seconds"], 10, "it waited for who does not answer")
        self.assert_counted(self.east.agent, before, "retries")
        # Who has not answered in time has failed all the same.
        host.wait_until("west's gateways to be avoided", self._ejected)


class DrainedGatewayTest(ClustersCase):
    """A gateway is replaced. Tunnels idle for long here, a drain is longer still."""

    topology_name = "upgrade"
    config = {"deadlines": {"idle_tunnel": "600s", "drain": "600s"}}

    @classmethod
    def build(cls):
        super().build()
        for gateway in cls.west.gateways:
            gateway.agent.config = {"deadlines": {"drain": "600s"}}

    def _end(self, gateway):
        """SIGTERM."""
        gateway.agent.expect_death = True
        gateway.agent.process.send_signal(signal.SIGTERM)

    def test_a_change_of_gateways_fails_no_connection(self):
        driver.echo(self.one, PORT)
        driver.echo(self.two, PORT)
        driver.connect_many(self.client, self.vip("west"), 80, "send:10,shutdown,recv-eof", 16)
        load = driver.Peer(self.client, "traffic", self.vip("west"), 80, 0, 1, 20)
        load.next()

        def grown(number):
            load.tell()
            enough = load.next()["short"] + number

            def more():
                load.tell()
                return load.next()["short"] > enough
            host.wait_until("more connections", more)
        grown(20)
        old, other = self.west.gateways
        self.assertIn(old.address, self.ways())
        self.west.gateways = [other]
        self.addCleanup(self.start_agents_again)
        self.addCleanup(self.publish)
        self.addCleanup(setattr, self.west, "gateways", [old, other])
        self.topo.write_directory()
        self._end(old)
        self.assertEqual(old.agent.process.wait(host.PATIENCE), 0)
        grown(20)
        load.tell("end")
        self.assertEqual(load.next()["failures"], [])
        self.assertEqual(self.ways(), {other.address})

    def test_without_a_change_of_the_directory_a_refusal_is_enough(self):
        self.name_servers(self.one, self.two, self.far)
        old = self.west.gateways[1]  # the other one may be back from a test for a moment only
        driver.connect_many(self.client, self.vip("west"), 80, "read-text,shutdown", 16)
        self.east.agent.wait_no_connections()
        self.assertIn(old.address, self.ways())
        self.addCleanup(self.start_agents_again)
        self._end(old)
        # No tunnel idles that would do for this service. Of several dials at once one goes there.
        for result in driver.connect_many(self.client, self.vip("both"), 80, "read-text,shutdown",
                                          24):
            self.assertIn(result.get("text"), ("one", "far"), result)
        host.wait_until("the closed gateway's tunnels to end",
                        lambda: old.address not in self.ways())
        self.assertEqual(old.agent.process.wait(host.PATIENCE), 0)


class DrainedTest(ClustersCase):
    """A cluster is taken out of service."""

    topology_name = "drained"

    def test_new_connections_go_elsewhere_and_running_ones_go_on(self):
        self.name_servers(self.one, self.far)
        seen = set()
        for _ in range(60):  # chance may spare one for a while
            seen.add(self.ask("both"))
            if seen == {"one", "far"}:
                break
        self.assertEqual(seen, {"one", "far"})
        driver.echo(self.two, PORT)
        held = driver.Peer(self.client, "hold", self.vip("moving"), 80, 3)
        self.assertEqual(held.next(), {"open": 3, "failures": []})
        self.west.draining = True
        self.addCleanup(setattr, self.west, "draining", False)
        self.publish()
        self.assertEqual({self.ask("both") for _ in range(20)}, {"far"})
        held.tell()
        self.assertEqual(held.next()["alive"], 3)


if __name__ == "__main__":
    case.main()
