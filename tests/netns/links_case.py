# SPDX-License-Identifier: Apache-2.0
"""What the tests of links share: a cluster that nobody can dial, and what its gateways tell."""
from testing import case, driver, host
from testing.topology import Endpoint

PORT = 8080
ONE_WAY = (0, 0, 65536, 0, 1)


class LinkChecks:
    """What tests ask gateways about their links."""

    @staticmethod
    def wait_links(acceptors, dialers):
        """Until each gateway of a private cluster has a link to each of the acceptors, with spares."""
        cluster = dialers[0].cluster.name
        for gateway in acceptors:
            host.wait_until(f"links of {cluster} to {gateway.agent.instance}",
                            lambda g=gateway: g.agent.has_links(cluster, len(dialers)))

    def link(self, gateway, cluster, name):
        """What a gateway says of its link with another cluster's gateway of that name."""
        found = [link for link in gateway.agent.links_with(cluster) if link["gateway"] == name]
        return found[0] if found else None

    def shown(self, place, cluster):
        """What `tombolo topology` shows there of links of or with a cluster, by the gateway."""
        return {link.get("gateway", link.get("via")): link for link in place.agent.cli("topology")["links"]
                if link["cluster"] == cluster}

    def wait_down(self, gateway, cluster, name):
        """Waits until it has none that is up."""
        host.wait_until(f"{gateway.agent.instance} to have no link with {cluster}/{name}", lambda:
                        (self.link(gateway, cluster, name) or {"state": "down"})["state"] == "down")


class LinksCase(LinkChecks, case.TopologyCase):
    """East and west can be dialled; south, and north in some, have links to east's two gateways."""

    config = {"deadlines": {"ping": "1s"}}
    has_north = False

    @classmethod
    def build(cls):
        cls.east = cls.topo.cluster("east", gateways=2)
        cls.west = cls.topo.cluster("west", gateways=1)
        cls.south = cls.topo.cluster("south", gateways=2)
        cls.private = [cls.south]
        if cls.has_north:
            cls.north = cls.topo.cluster("north", gateways=1)
            cls.private.append(cls.north)
        cls.clients = {cluster.name: cluster.pod("client") for cluster in cls.topo.clusters}
        cls.servers = {cluster.name: cluster.pod("server") for cluster in cls.topo.clusters}
        for cluster in cls.private:
            cluster.via = "east"
            cluster.link.shape = ONE_WAY
        cls.vips = {}
        for name, pod in cls.servers.items():
            cls.vips[name] = cls.topo.service(f"shop/{name}", 80, [Endpoint(pod, PORT)]).vip
            for client in cls.clients.values():
                cls.topo.allow(client, f"shop/{name}")
        for place in cls.topo.places():
            place.agent.config = dict(cls.config)
        for node in cls.topo.nodes():
            node.agent.config = {"threads": 1} | node.agent.config

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if cls.start_agents:
            cls.wait_joined()

    @classmethod
    def wait_joined(cls):
        """Every gateway of a private cluster has a link to each of east's, with spares."""
        for cluster in cls.private:
            cls.wait_links(cls.east.gateways, cluster.gateways)

    def setUp(self):
        super().setUp()
        self.wait_joined()

    def exchange(self, server, clients, sizes=(1, 5000, case.scaled(1 << 20, 20000)), count=4):
        """Every byte both ways, `count` connections of each size one after the other."""
        served = driver.serve(self.servers[server], PORT, "exchange-server")
        for client in clients:
            for size in sizes:
                peer = driver.Peer(self.clients[client], "connect", self.vips[server], 80,
                                   f"exchange:{size}:{2 * size}", count)
                for _ in range(count):
                    self.assert_done(peer.next(), sent=size, received=2 * size)
                    self.assert_intact(served.next(), sent=2 * size, received=size)

    def echoes(self, client, server, count=20):
        """So many connections one after the other, each of which has to be answered."""
        repeated = driver.Peer(self.clients[client], "repeat", self.vips[server], 80, "send:10,shutdown,recv-eof",
                               count)
        self.assertEqual(repeated.next(), {"done": count})
