# SPDX-License-Identifier: Apache-2.0
"""A cluster that can only dial out, of which others know nothing but what is in etcd: that it is
reached via east, for as long as an administrator says so."""
import json

from netns.links_case import ONE_WAY, LinkChecks
from netns.shared_directory_case import SharedDirectoryCase
from testing import case, driver, host

ECHO = 81  # the port of shop/web on which it echoes


class LinkedDirectoryTest(LinkChecks, SharedDirectoryCase):
    """South joins with --via east, and serves shop/web to east and west."""

    topology_name = "linkeddir"
    config = {"deadlines": {"ping": "1s"}}

    @classmethod
    def build(cls):
        super().build()
        cls.south.via = "east"
        cls.south.link.shape = ONE_WAY
        cls.exported = {cls.south}
        cls.clients = [cls.client, cls.west.pod("client")]
        cls.topo.allow(cls.clients[1], "shop/web")

    def setUp(self):
        super().setUp()
        for client in self.clients:
            self.wait_for_clusters("south", agent=client.cluster.agent)
        self.wait_links(self.east.gateways, self.south.gateways)

    def assert_links_end(self):
        """Both sides let go, and say why."""
        for gateway in self.east.gateways:
            for other in self.south.gateways:
                self.wait_down(gateway, "south", other.agent.name)
                self.wait_down(other, "east", gateway.agent.name)
                host.wait_until("the dialer to be told why", lambda g=gateway, o=other:
                                "no gateway 'gw-" in self.link(o, "east", g.agent.name)["error"])
            host.wait_until("a refusal to be counted", lambda g=gateway: g.agent.metrics()[
                'tombolo_gateway_links_refused_total{reason="directory"}'] > 0)
            self.assertEqual(self.shown(gateway, "south"), {}, "the directory has none")
        for client in self.clients:
            self.wait_for_clusters(agent=client.cluster.agent)
            self.assertEqual(self.shown(client.cluster, "south"), {})

    def test_others_reach_it_by_what_etcd_says(self):
        for gateway in self.south.gateways:
            record = json.loads(self.etcd.get(f"clusters/south/gateways/{gateway.agent.name}"))
            self.assertEqual(record, {"via": "east"})
        for client in self.clients:
            self.assertEqual({self.ask(client) for _ in range(5)}, {"south"})
            self.assertEqual(self.shown(client.cluster, "south"), {"east": {
                "role": "user", "cluster": "south", "via": "east", "gateways": ["gw-1", "gw-2"], "ways": 2,
                "ways_ejected": 0, "state": "up"}})
        carried = [gateway.agent.metrics()['tombolo_gateway_link_tunnels_total{role="acceptor"}']
                   for gateway in self.east.gateways]
        self.assertGreater(sum(carried), 0)

    def test_an_administrator_takes_its_via_back(self):
        held = [driver.Peer(client, "hold", self.web_vip(client.cluster.agent), ECHO, 2) for client in self.clients]
        for peer in held:
            self.assertEqual(peer.next(), {"open": 2, "failures": []})
        self.etcd.join(self.south, via="")
        self.addCleanup(self.etcd.join, self.south)
        self.assert_links_end()
        for client in self.clients:
            refused = client.cluster.agent.cli("status")["shared_directory"]["refused"]
            self.assertIn(("south", "gateway_address"), [(entry["cluster"], entry["reason"]) for entry in refused])
        # What runs is not the directory's to end.
        for peer in held:
            peer.tell()
            self.assertEqual(peer.next()["alive"], 2)
        self.etcd.join(self.south)
        self.wait_links(self.east.gateways, self.south.gateways)

    def test_an_administrator_removes_it(self):
        self.etcd.command("cluster", "remove", "south")

        def back():
            self.etcd.join(self.south)
            self.etcd.command("namespace", "grant", "shop", "south")
        self.addCleanup(back)
        self.assert_links_end()
        for client in self.clients:
            self.assertNotIn("south", [cluster["name"] for cluster in
                                       client.cluster.agent.cli("topology")["clusters"]])


if __name__ == "__main__":
    case.main()
