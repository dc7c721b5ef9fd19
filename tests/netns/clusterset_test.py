# SPDX-License-Identifier: Apache-2.0
"""What holds with everything there at once: see clusterset_case.py."""
import json
import shutil

from netns.clusterset_case import (ECHO, IMPORTED, LOCAL_VIP, MOVING_VIP, NAME, OWN_VIP, SPREAD_VIP,
                                   ClustersetCase)
from testing import case, driver, host
from testing.capture import Capture
from testing.topology import TRUST_DOMAIN


class ClustersetTest(ClustersetCase):
    """None of these needs anything to be away."""

    topology_name = "clusterset"
    config = {"deadlines": {"dial": "20s", "connect": "40s"}}

    def peers(self, cluster):
        """What a cluster's nodes have dialled, but for each other."""
        return {tunnel["peer_address"] for node in cluster.nodes
                for tunnel in node.agent.cli("tunnels")["tunnels"]
                if tunnel["role"] == "dialer" and tunnel["peer_address"] not in {
                    other.tunnel for other in cluster.nodes}}

    def test_everybody_reaches_everybody_byte_by_byte(self):
        size = case.scaled(200000, 20000)
        for cluster in self.topo.clusters:
            for other in self.topo.clusters:
                vip = OWN_VIP if cluster is other else self.vip(cluster, other.name)
                self.assertEqual(self.ask(cluster, vip), other.name)
                echoed = driver.connect(self.clients[cluster], vip, ECHO, f"send:{size},shutdown,recv-eof")
                self.assertEqual((echoed["sent"], echoed["received"]), (size, size), echoed)
        east, west = ({gateway.address for gateway in cluster.gateways}
                      for cluster in (self.east, self.west))
        # South is reached through east, by everybody but itself.
        self.assertLessEqual(self.peers(self.west), east)
        self.assertLessEqual(self.peers(self.south), east | west)
        self.assertLessEqual(self.peers(self.east), east | west)
        carried = [gateway.agent.metrics()['tombolo_gateway_link_tunnels_total{role="acceptor"}']
                   for gateway in self.east.gateways]
        self.assertGreater(sum(carried), 0)

    def test_whoever_relays_sees_ciphertext_only(self):
        """Between west and south all passes east's gateways, and the gateways of both."""
        marker = "nobody-on-the-way-reads-this" * 10
        client = self.clients[self.west]
        seen = Capture(client.netns)
        relays = [Capture(gateway.netns) for cluster in self.topo.clusters
                  for gateway in cluster.gateways]
        result = driver.connect(client, self.vip(self.west, "south"), ECHO,
                                f"text:{marker},shutdown,recv-eof")
        self.assertEqual(result["received"], len(marker), result)
        for capture in (seen, *relays):
            capture.stop()
            self.assertEqual(capture.drops, 0)
        self.assertTrue(seen.find(marker.encode()), "a capture that finds nothing shows nothing")
        for capture in relays:
            self.assertEqual(capture.find(marker.encode()), [])
        self.assertLessEqual(self.peers(self.west), {
            gateway.address for gateway in self.east.gateways}, "it has gone another way")

    def test_the_same_addresses_are_each_clusters_own(self):
        clusters = self.topo.clusters
        for things in ([[(node.node, node.tunnel) for node in one.nodes] for one in clusters],
                       [[pod.ip for pod in one.pods[:2]] for one in clusters]):
            self.assertEqual(things, [things[0]] * 3)
        for cluster in clusters:
            for _ in range(3):
                self.assertEqual(self.ask(cluster, LOCAL_VIP), cluster.name)
                self.assertEqual(self.ask(cluster, OWN_VIP), cluster.name)

    def test_vips_stay_whatever_starts_again(self):
        before = self.vips()
        for vip in before.values():
            self.assertTrue(vip.startswith(IMPORTED.split("0.0")[0]), vip)
        for place in self.topo.places():
            place.agent.stop()
            shutil.rmtree(f"{place.dir}/shared")  # nobody remembers anything but etcd
        self.etcd.stop()
        self.etcd.start()
        self.start_agents_again()
        self.wait_joined()
        self.assertEqual(self.vips(), before)

    def move(self, *clusters):
        """Serves shop/moving there and nowhere else, and waits until everybody knows."""
        self.exported["moving"] = set(clusters)
        self.write_directories()
        for cluster in self.topo.clusters:
            for node in cluster.nodes:
                self.wait_for(node, "moving", *clusters)

    def test_a_service_moves_under_constant_load(self):
        """No new connection fails, and those from before go on where they are."""
        self.addCleanup(self.move, self.east)
        vips = {cluster: MOVING_VIP if cluster is not self.south else self.vip(cluster, "moving")
                for cluster in self.topo.clusters}
        loads = [self.begin_traffic(cluster, vip, long=2) for cluster, vip in vips.items()]

        def go_on():
            for load in loads:
                self.see_more(load)
        go_on()
        for cluster, vip in vips.items():
            self.assertEqual(self.ask(cluster, vip), "east")
        self.move(self.east, self.west)
        go_on()
        self.move(self.west)
        go_on()
        for cluster, vip in vips.items():
            self.assertEqual(self.ask(cluster, vip), "west")
        for load in loads:
            self.end_traffic(load)

    def test_a_source_stays_with_a_cluster(self):
        def places():
            return {pod.name: {self.ask(self.east, SPREAD_VIP, pod) for _ in range(4)}
                    for pod in (self.clients[self.east], *self.more_clients)}
        before = places()
        self.assertEqual({len(answers) for answers in before.values()}, {1}, before)
        self.assertEqual(set.union(*before.values()), {"west", "south"})
        self.east.nodes[0].agent.restart()
        self.wait_joined()
        self.assertEqual(places(), before)

    def draining(self, yes):
        """Until east's nodes know whether west drains."""
        for node in self.east.nodes:
            host.wait_until(f"west to drain, {yes}, in {node.agent.instance}", lambda n=node: next(
                one["draining"] for one in n.agent.cli("clusters")["clusters"]
                if one["name"] == "west") == yes)

    def idle_to_west(self):
        """East's idle tunnels to west's gateways."""
        west = {gateway.address for gateway in self.west.gateways}
        return [tunnel for tunnel in self.east.agent.cli("tunnels")["tunnels"]
                if tunnel["peer_address"] in west and tunnel["state"] == "idle"]

    def test_a_drain_and_its_deadline(self):
        vip = self.vip(self.east, "west")
        self.assertEqual(self.ask(self.east, vip), "west")
        held = driver.Peer(self.clients[self.east], "hold", vip, ECHO, 3)
        self.assertEqual(held.next(), {"open": 3, "failures": []})
        host.wait_until("an idle tunnel", self.idle_to_west)
        self.etcd.command("cluster", "drain", "west", "--deadline", "1h")
        self.addCleanup(self.draining, False)
        self.addCleanup(self.etcd.command, "cluster", "undrain", "west")
        self.draining(True)
        host.wait_until("idle tunnels to be closed", lambda: not self.idle_to_west())
        for pod in (self.clients[self.east], *self.more_clients):
            self.assertEqual(self.ask(self.east, SPREAD_VIP, pod), "south")
        self.assertEqual(len(self.east.agent.connections(self.clients[self.east])), 3)
        self.etcd.command("cluster", "drain", "west", "--deadline", "1s")
        self.east.agent.wait_no_connections()
        held.tell()
        self.assertEqual(held.next()["alive"], 0)

    def refusals(self, agent):
        """(cluster, reason) of what an agent does not believe, and all that it says of them."""
        refused = agent.cli("status")["shared_directory"]["refused"]
        return {(one["cluster"], one["reason"]) for one in refused}, json.dumps(refused)

    def lie(self, key, value, reason, *words):
        """Mallory says so in etcd; everybody's agents and gateways refuse it, and say so."""
        self.etcd.put(f"clusters/mallory/{key}", json.dumps(value), "mallory")
        everybody = (*self.east.nodes, *self.west.nodes, *self.east.gateways)
        for place in everybody:
            host.wait_until(f"{place.agent.instance} to refuse {key} for {reason}", lambda p=place: (
                "mallory", reason) in self.refusals(p.agent)[0])
            told = self.refusals(place.agent)[1]
            for word in (f"clusters/mallory/{key}", *words):
                self.assertIn(word, told)
            self.assertGreater(place.agent.metrics()[
                f'tombolo_directory_refused{{cluster="mallory",reason="{reason}"}}'], 0)
        self.assertEqual(self.ask(self.east, self.vip(self.east, "west")), "west")
        self.etcd.delete(f"clusters/mallory/{key}", "mallory")
        for place in everybody:
            host.wait_until(f"{place.agent.instance} to refuse no {key}", lambda p=place: (
                "mallory", reason) not in self.refusals(p.agent)[0])

    def backend(self, cluster, namespace="shop"):
        """A record of a service, served by an identity of a cluster."""
        identity = f"spiffe://{TRUST_DOMAIN}/cluster/{cluster}/ns/{namespace}/sa/server"
        return {"ports": [{"port": NAME, "backends": [
            {"identity": identity, "endpoints": 1, "ready": 1, "weight": 1}]}]}

    def test_what_a_hostile_member_says(self):
        self.etcd.command("cluster", "join", "mallory", "--gateways", "203.0.113.0/24",
                          "--credentials", f"{self.etcd.dir}/mallory.pw")
        self.addCleanup(self.etcd.command, "cluster", "remove", "mallory")
        self.etcd.command("namespace", "grant", "shop", "mallory")
        self.topo.issue(f"spiffe://{TRUST_DOMAIN}/cluster/mallory/ns/tombolo-system/sa/directory",
                        f"{self.etcd.dir}/mallory")
        gateway = self.west.gateways[0]
        vip = self.vip(self.east, "west")
        # It may have one of its own, where an administrator lets it.
        self.etcd.put("clusters/mallory/gateways/gw-1", json.dumps({"address": "203.0.113.1:15443"}),
                      "mallory")
        self.lie("services/payments/api", self.backend("mallory", "payments"), "namespace",
                 "payments")
        self.lie("services/shop/west", self.backend("west"), "identity", "/cluster/west/")
        self.lie("gateways/evil", {"address": gateway.address}, "gateway_address", gateway.ip)
        self.lie("gateways/evil", {"via": "west"}, "gateway_address", "'via'")
        self.lie("services/shop/other", self.backend("mallory") | {"vips": [vip]}, "malformed", "vips")
        other = self.backend("mallory")
        other["ports"][0]["routing_id"] = "0" * 32
        self.lie("services/shop/other", other, "malformed", "routing_id")
        for key in ("clusters/west/services/shop/west", "clusters/west/gateways/gw-1",
                    "clusters/west/publisher", "clusters/west/vips/shop/east",
                    "admin/clusters/mallory", "admin/namespaces/payments"):
            before = self.etcd.get(key)
            for change in (lambda k=key: self.etcd.put(k, "{}", "mallory"),
                           lambda k=key: self.etcd.delete(k, "mallory")):
                with self.assertRaisesRegex(host.HostError, "permission denied"):
                    change()
            self.assertEqual(self.etcd.get(key), before)

    def test_a_gateway_dies_under_load(self):
        load = self.begin_traffic(self.east, self.vip(self.east, "west"), long=12)
        self.see_more(load)
        dead, alive = self.west.gateways

        def carried():
            return [one.get("peer_address")
                    for one in self.east.agent.connections(self.clients[self.east])]
        self.assertIn(dead.address, carried())
        self.assertIn(alive.address, carried())
        dead.agent.kill()
        self.addCleanup(self.start_agents_again)
        lost = self.see_more(load)["failures"]
        self.see_more(load)
        load.tell("end")
        state = load.next()
        self.assertEqual(state["failures"], lost, "new ones failed")
        kinds = [kind for _, kind, _ in lost]
        self.assertLess(kinds.count("long"), 12)
        # They come one after the other: that was the one under way.
        self.assertLessEqual(kinds.count("short"), 1, lost)
        self.assertLess(state["slowest"], 20, "more than deadlines.dial")


if __name__ == "__main__":
    case.main()
