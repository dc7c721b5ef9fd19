# SPDX-License-Identifier: Apache-2.0
"""Clusters that nobody can dial, which have links to the gateways of one that can be."""
import contextlib
import os
import socket

from netns.links_case import PORT, LinksCase
from testing import case, driver, host, network
from testing.gateway import LEAST_SPARES
from testing.topology import TRUST_DOMAIN, program


class JoinedTest(LinksCase):
    """What works while everything works, and what is refused."""

    topology_name = "links"
    has_north = True

    def test_nobody_can_dial_a_private_cluster(self):
        for cluster in self.private:
            for place in cluster.places():
                def dial(address=place.ip):
                    with contextlib.suppress(TimeoutError):
                        socket.create_connection((address, 15443), timeout=0.5)
                        self.fail(f"{address} has answered")
                host.in_netns(network.path(self.east.gateways[0].netns), dial)

    def test_every_byte_into_a_private_cluster(self):
        self.exchange("south", ("east", "west"))
        dialled = {entry["peer_address"] for entry in self.west.agent.cli("tunnels")["tunnels"]}
        self.assertLessEqual(dialled, {gateway.address for gateway in self.east.gateways})
        carried = [gateway.agent.metrics()['tombolo_gateway_link_tunnels_total{role="acceptor"}']
                   for gateway in self.east.gateways]
        self.assertGreater(sum(carried), 0)

    def test_every_byte_out_of_a_private_cluster(self):
        self.exchange("east", ("south",))
        self.exchange("west", ("south",))

    def test_two_private_clusters_meet_through_a_third(self):
        self.exchange("north", ("south",))
        self.exchange("south", ("north",))

    def test_the_topology_shows_links_as_who_looks_at_them_knows_them(self):
        for place, cluster, role in ((self.east, "south", "acceptor"), (self.south, "east", "dialer")):
            shown = self.shown(place.gateways[0], cluster)
            self.assertEqual({name: (link["role"], link["state"]) for name, link in shown.items()},
                             {"gw-1": (role, "up"), "gw-2": (role, "up")})
            self.assertGreaterEqual(min(link["spares"] for link in shown.values()), LEAST_SPARES)

            def heard_since(place=place, cluster=cluster):
                link = self.shown(place.gateways[0], cluster)["gw-1"]
                return link["since_ms"] > 3000 and link["heard_ms"] < link["since_ms"] / 2
            host.wait_until("an answer to PING to be seen", heard_since)
        self.assertEqual(self.shown(self.west, "south")["east"], {
            "role": "user", "cluster": "south", "via": "east", "gateways": ["gw-1", "gw-2"], "ways": 2,
            "ways_ejected": 0, "state": "up"})
        table = host.sh(program("tombolo"), "--socket", self.east.gateways[0].agent.socket, "topology")
        self.assertRegex(table, r"\nsouth/gw-1 +them +up ")

    def test_a_burst_is_carried_and_more_spares_are_kept_then(self):
        driver.echo(self.servers["south"], PORT)
        results = driver.connect_many(self.clients["west"], self.vips["south"], 80,
                                      "send:1000,shutdown,recv-eof", case.scaled(60, 20))
        self.assertEqual({result["end"] for result in results}, {"eof"})
        self.echoes("east", "south")

    def test_a_connection_that_shows_no_good_token_is_reset(self):
        gateway = self.east.gateways[0].agent
        before = gateway.metrics()
        for opening in (b"T\1" + os.urandom(32), b"T\1" + bytes(32), b"T\2" + bytes(32)):
            sock = host.in_netns(network.path(self.west.netns), lambda: socket.create_connection(
                (gateway.host, gateway.port), timeout=host.PATIENCE))
            with sock:
                sock.sendall(opening)
                with self.assertRaises(ConnectionResetError):
                    sock.recv(1)
        key = 'tombolo_gateway_refused_total{reason="token"}'
        # The reset may be here before it is counted.
        host.wait_until("three refusals", lambda: gateway.metrics()[key] == before[key] + 3)
        after = gateway.metrics()
        for reason, count in (("unknown", 2), ("version", 1)):
            key = f'tombolo_gateway_link_tokens_refused_total{{reason="{reason}"}}'
            self.assertEqual(after[key], before[key] + count)

    def test_a_new_certificate_drops_no_link(self):
        driver.echo(self.servers["south"], PORT)
        gateway = self.south.gateways[0]
        start = len(gateway.agent.log())
        serials = {entry["serial"] for entry in gateway.agent.cli("status")["identities"]}
        self.topo.issue(f"spiffe://{TRUST_DOMAIN}/cluster/south/gateway/{gateway.agent.name}", f"{gateway.dir}/own")
        host.wait_until("another certificate", lambda: serials != {
            entry["serial"] for entry in gateway.agent.cli("status")["identities"]})
        self.echoes("east", "south")
        self.assertNotIn("link lost", gateway.agent.log()[start:])
        self.assertEqual([link["state"] for link in gateway.agent.links_with("east")], ["up", "up"])


class LossTest(LinksCase):
    """What becomes of links when something ends."""

    topology_name = "linkloss"
    config = {"deadlines": {"ping": "1s", "drain": "10s"}}  # shorter than a test's patience

    def test_a_gateway_of_the_private_cluster_is_killed(self):
        driver.echo(self.servers["south"], PORT)
        dead = self.south.gateways[0]
        dead.agent.kill()
        self.addCleanup(self.start_agents_again)
        for gateway in self.east.gateways:
            self.wait_down(gateway, "south", dead.agent.name)
            self.assertEqual(self.shown(gateway, "south")[dead.agent.name], {
                "role": "acceptor", "cluster": "south", "gateway": dead.agent.name, "state": "down"})
        self.echoes("west", "south")
        self.start_agents_again()
        self.wait_joined()
        for gateway in self.east.gateways:
            self.assertEqual(self.shown(gateway, "south")[dead.agent.name]["state"], "up")

    def test_a_gateway_that_has_links_is_killed(self):
        driver.echo(self.servers["south"], PORT)
        dead = self.east.gateways[0]
        before = {gateway: self.shown(gateway, "east")[dead.agent.name] for gateway in self.south.gateways}
        dead.agent.kill()
        self.addCleanup(self.start_agents_again)
        for gateway in self.south.gateways:
            self.wait_down(gateway, "east", dead.agent.name)
            self.wait_dialled_again(gateway, dead, before[gateway])
        self.echoes("west", "south")

        def way_is_ejected():
            driver.connect_many(self.clients["west"], self.vips["south"], 80, "send:10,shutdown,recv-eof", 8)
            return self.shown(self.west, "south")["east"]["ways_ejected"] == 1
        host.wait_until("the way through it to be avoided", way_is_ejected)
        self.assertEqual(self.shown(self.west, "south")["east"]["state"], "up")
        self.start_agents_again()
        self.wait_joined()
        self.assertGreaterEqual(self.link(self.south.gateways[0], "east", dead.agent.name)["lost"], 1)

    def wait_dialled_again(self, gateway, dead, before):
        """Waits until the topology shows a link that was lost and has been dialled in vain."""
        def waits():
            link = self.shown(gateway, "east")[dead.agent.name]
            return link if link["attempts"] > before["attempts"] and "next_dial_ms" in link else None
        link = host.wait_until("it to be dialled again", waits)
        self.assertEqual((link["state"], link["lost"], link["spares"]), ("down", before["lost"] + 1, 0))
        self.assertNotEqual(link["error"], "")

    def test_a_black_hole_is_noticed_by_both_sides(self):
        cut = self.south.gateways[0]
        self.south.link.swallow(cut.ip)
        swallowed = True

        def heal():
            if swallowed:
                self.south.link.swallow(cut.ip, False)
        self.addCleanup(heal)
        for gateway in self.east.gateways:
            self.wait_down(gateway, "south", cut.agent.name)
            self.wait_down(cut, "east", gateway.agent.name)
        driver.echo(self.servers["south"], PORT)
        self.echoes("west", "south")
        self.south.link.swallow(cut.ip, False)
        swallowed = False
        self.wait_joined()

    def test_a_private_gateway_drains(self):
        driver.echo(self.servers["south"], PORT)
        held = driver.Peer(self.clients["west"], "hold", self.vips["south"], 80, 16)
        self.assertEqual(held.next(), {"open": 16, "failures": []})
        leaving, staying = self.south.gateways
        for gateway in (leaving, staying):
            self.assertTrue(gateway.agent.tunnels(), "the links share what there is")
        leaving.agent.process.terminate()
        leaving.agent.expect_death = True
        self.addCleanup(self.start_agents_again)
        for gateway in self.east.gateways:
            self.wait_down(gateway, "south", leaving.agent.name)
        self.echoes("east", "south")
        held.tell()
        self.assertEqual(held.next()["alive"], 16)
        held.kill()
        leaving.agent.process.wait(timeout=host.PATIENCE)

    def test_a_gateway_that_leaves_the_directory_is_let_go(self):
        gone = self.south.gateways[0]
        driver.echo(self.servers["south"], PORT)
        directory = self.topo.directory()
        for cluster in directory["clusters"]:
            if cluster["name"] == "south":
                cluster["gateways"] = [entry for entry in cluster["gateways"] if entry["name"] != gone.agent.name]
        self.addCleanup(self.topo.write_directory)
        self.topo.write_directory(directory)
        for gateway in self.east.gateways:
            self.wait_down(gateway, "south", gone.agent.name)
            host.wait_until("it to be refused", lambda g=gateway: g.agent.metrics()[
                'tombolo_gateway_links_refused_total{reason="directory"}'] > 0)
        self.echoes("west", "south")
        self.topo.write_directory()
        self.wait_joined()

    def test_links_are_configured_while_it_runs(self):
        gateway = self.south.gateways[0]

        def configure(links):
            gateway.agent.links = links
            gateway.agent.write_config()
        self.addCleanup(configure, ["east"])
        configure([])
        host.wait_until("its links to end", lambda: not gateway.agent.links_with("east"))
        for other in self.east.gateways:
            self.wait_down(other, "south", gateway.agent.name)
        configure(["east"])
        self.wait_joined()


class AuthorityTest(LinksCase):
    """Gateways that have their identities from the authority."""

    topology_name = "linkca"

    @classmethod
    def build(cls):
        super().build()
        cls.topo.use_authority(ttl="60s")

    def test_renewed_and_revoked(self):
        driver.echo(self.servers["south"], PORT)
        self.echoes("west", "south")
        gateway = self.south.gateways[0]
        first = gateway.agent.cli("status")["authority"]["node"]["serial"]
        # At about half of its lifetime.
        host.wait_until("another certificate", lambda: gateway.agent.cli("status")[
            "authority"]["node"]["serial"] != first, seconds=90)
        # The control connections are made again by the new certificates, before the old ones end.
        for other in self.east.gateways:
            count = other.agent.metrics()["tombolo_gateway_links_accepted_total"]
            host.wait_until("a renewed link", lambda o=other, c=count: o.agent.metrics()[
                "tombolo_gateway_links_accepted_total"] > c, seconds=90)
            self.assertEqual(other.agent.metrics()["tombolo_gateway_links_lost_total"], 0)
        self.topo.authority.command("revoke", "node", f"south/gateway/{gateway.agent.name}", "--reason", "test")
        for other in self.east.gateways:
            self.wait_down(other, "south", gateway.agent.name)
        self.echoes("west", "south")
        self.topo.authority.command("unrevoke", "node", f"south/gateway/{gateway.agent.name}", "--reason", "test")
        # It has given up its key, as every node does, and needs another token.
        self.topo.authority.gateway_identity(
            gateway, f"spiffe://{TRUST_DOMAIN}/cluster/south/gateway/{gateway.agent.name}")
        self.wait_joined()


if __name__ == "__main__":
    case.main()
