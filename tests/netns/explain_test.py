# SPDX-License-Identifier: Apache-2.0
"""What `tombolo explain` says about a connection, beside what becomes of a real one."""
import subprocess
import time

from netns.clusters_test import PORT, ClustersCase
from testing import case, driver, host
from testing.topology import Endpoint, program


class ExplainTest(ClustersCase):
    """With one data thread, so that the next connection is that thread's."""

    topology_name = "explain"

    @classmethod
    def build(cls):
        super().build()
        # Nobody may use it.
        cls.services["closed"] = cls.topo.service("shop/closed", 80, [Endpoint(cls.far, PORT)])

    def explain(self, to, workload=None):
        """What would become of a connection of the client."""
        return self.east.agent.cli("explain", workload or self.client.workload, to)

    def attempts(self, to):
        """Where its one thread would go."""
        explained = self.explain(to)
        self.assertTrue(explained["carried"], explained)
        self.assertEqual([step["ok"] for step in explained["steps"]],
                         [True] * len(explained["steps"]))
        return explained["threads"][0]["attempts"]

    def steps(self, explained):
        """The details of the steps by their names, and whether all is well with them."""
        return {step["step"]: (step["ok"], step["detail"]) for step in explained["steps"]}

    def refused(self, to, workload=None):
        """Why the command itself fails."""
        result = subprocess.run(
            [program("tombolo"), "--socket", self.east.agent.socket, "explain",
             workload or self.client.workload, to], capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 1, result)
        return result.stderr

    def test_the_next_connection_goes_where_it_says(self):
        self.name_servers(self.one, self.far)
        server_of = {"west": "one", "south": "far"}
        seen = set()
        for _ in range(100):  # each a draw
            first = self.attempts("shop/both:80")[0]
            self.assertEqual(self.attempts("shop/both:80")[0], first, "asking changed something")
            self.assertEqual(self.ask("both"), server_of[first["cluster"]])
            seen.add(first["cluster"])
            self.east.agent.wait_no_connections()
            if seen == {"west", "south"}:
                break
        self.assertEqual(seen, {"west", "south"})

    def test_the_way_and_the_tunnel(self):
        self.name_servers(self.one, self.two)
        self.assertIn(self.ask("west"), ("one", "two"))
        self.east.agent.wait_no_connections()
        attempts = self.attempts(f"{self.vip('west')}:80")
        gateways = {gateway.address: gateway.agent.name for gateway in self.west.gateways}
        self.assertTrue(attempts[0]["idle_tunnel"])
        self.assertEqual(attempts[0]["gateway"], gateways[attempts[0]["way"]])
        self.assertEqual(attempts[0]["endpoint"], "cluster west")
        self.assertEqual(len(attempts), 2, "one for each gateway")
        self.assertEqual(attempts[1]["choice"].split(": ")[1].split(",")[0], "another attempt")

    def test_a_running_connection(self):
        driver.echo(self.one, PORT)
        driver.echo(self.two, PORT)
        held = driver.Peer(self.client, "hold", self.vip("west"), 80, 1)
        self.assertEqual(held.next(), {"open": 1, "failures": []})
        running, = self.east.agent.connections(self.client)
        told = self.east.agent.cli("explain", "--connection", running["id"])["connection"]
        self.assertEqual(told["choice"], running["choice"])
        self.assertIn("tier 1 (other clusters)", told["choice"])
        self.assertEqual(told["peer_address"], running["peer_address"])
        self.assertIn(f"allows '{self.client.id}'", told["policy"])
        steps = self.steps(self.explain("shop/west:80"))
        self.assertEqual(steps["limit"], (True, "1 of 20000 connections"))
        held.kill()
        self.east.agent.wait_no_connections()

    def test_what_is_refused_and_why(self):
        closed = self.explain("shop/closed:80")
        self.assertFalse(closed["carried"])
        self.assertEqual(closed["reason"], "denied")
        self.assertEqual(self.ask("closed"), "EACCES")
        good, why = self.steps(closed)["policy"]
        self.assertFalse(good)
        self.assertIn("no rule allows", why)
        self.assertIn("EACCES", why)
        nowhere = self.explain("10.96.0.250:80")
        self.assertEqual(nowhere["reason"], "unknown_service")
        self.assertIn("not captured", self.steps(nowhere)["service"][1])
        self.assertIn("no workload 'east/nobody'", self.refused("shop/west:80", "east/nobody"))
        self.assertIn("is on node east/node-2", self.refused("shop/west:80", self.local.workload))
        self.assertIn("no service 'shop/none'", self.refused("shop/none:80"))
        self.assertIn("'ten'", self.refused("shop/west:ten"))

    def test_a_draining_cluster_is_shown_and_left_out(self):
        self.west.draining = True
        self.addCleanup(self.publish)
        self.addCleanup(setattr, self.west, "draining", False)
        self.publish()
        explained = self.explain("shop/both:80")
        thread = explained["threads"][0]
        standing = {cluster["name"]: (tier["share_percent"], cluster["draining"])
                    for tier in thread["tiers"] for cluster in tier["clusters"]}
        self.assertEqual(standing, {"south": (100, False), "west": (0, True)})
        self.assertEqual(thread["attempts"][0]["cluster"], "south")
        self.assertEqual(thread["attempts"][-1]["cluster"], "west", "rather than nobody")
        drain, = [cluster["drain"] for cluster in self.east.agent.cli("topology")["clusters"]
                  if cluster["name"] == "west"]
        self.assertIn("draining: new connections go elsewhere", drain)
        self.assertIn("nobody else has shop/west, shop/moving", drain)

    def test_a_drain_ends_at_its_deadline(self):
        driver.echo(self.two, PORT)
        held = driver.Peer(self.client, "hold", self.vip("moving"), 80, 3)
        self.assertEqual(held.next(), {"open": 3, "failures": []})
        self.west.draining = {"deadline": "2100-01-01T00:00:00Z"}
        self.addCleanup(self.publish)
        self.addCleanup(setattr, self.west, "draining", False)
        self.publish()
        self.assertEqual(len(self.east.agent.connections(self.client)), 3)
        west, = [cluster for cluster in self.east.agent.cli("topology")["clusters"]
                 if cluster["name"] == "west"]
        self.assertEqual(west["drain_deadline"], "2100-01-01T00:00:00Z")
        self.assertIn("at 2100-01-01T00:00:00Z what still runs is ended", west["drain"])
        # However late it is by the time that the agent reads it, they are older.
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
        self.west.draining = {"deadline": soon}
        self.publish()
        self.east.agent.wait_no_connections()
        held.tell()
        self.assertEqual(held.next()["alive"], 0)
        later = driver.Peer(self.client, "hold", self.vip("moving"), 80, 1)
        self.assertEqual(later.next(), {"open": 1, "failures": []})
        later.tell()
        self.assertEqual(later.next()["alive"], 1, "it had nowhere else to go")

    def counted(self, agent, name, **labels):
        """The sum of a service's samples that have these labels."""
        return sum(value for sample, value in agent.metrics().items()
                   if sample.startswith(f"tombolo_service_{name}{{")
                   and all(f'{label}="{text}"' in sample for label, text in labels.items()))

    def test_metrics_by_service_and_clusters(self):
        servers = self.name_servers(self.one, self.two)
        pair = {"source_cluster": "east", "destination_cluster": "west", "service": "shop/west"}
        agents = {"dialer": [self.east.agent],
                  "acceptor": [node.agent for node in self.west.nodes]}

        def sums(name, **labels):
            return {role: sum(self.counted(agent, name, role=role, **pair, **labels)
                              for agent in of) for role, of in agents.items()}
        names = ("connections_total", "bytes_total", "connect_seconds_count")
        before = {name: sums(name) for name in names}
        sent_before = sums("bytes_total", direction="to_service")
        for _ in range(4):
            self.assertIn(self.ask("west"), ("one", "two"))

        def grown():
            return {name: {role: count - before[name][role] for role, count in sums(name).items()}
                    for name in names}
        # "one" or "two", four times; bytes count when a connection has ended.
        host.wait_until("the bytes to be counted",
                        lambda: grown()["bytes_total"] == {"dialer": 12, "acceptor": 12})
        self.assertEqual(grown()["connections_total"], {"dialer": 4, "acceptor": 4})
        self.assertEqual(grown()["connect_seconds_count"], {"dialer": 4, "acceptor": 4})
        self.assertEqual(sums("bytes_total", direction="to_service"), sent_before,
                         "the client has sent nothing")
        for server in servers:
            server.kill()
        failed = sums("connections_failed_total", reason="unavailable")
        attempts = sums("attempts_failed_total")
        self.ask("west")
        self.assertGreater(sums("attempts_failed_total")["dialer"], attempts["dialer"])
        for role, count in sums("connections_failed_total", reason="unavailable").items():
            self.assertGreater(count, failed[role], role)

    def test_the_topology(self):
        driver.echo(self.one, PORT)
        driver.echo(self.two, PORT)
        held = driver.Peer(self.client, "hold", self.vip("west"), 80, 2)
        self.assertEqual(held.next(), {"open": 2, "failures": []})
        topology = self.east.agent.cli("topology")
        clusters = {cluster["name"]: cluster for cluster in topology["clusters"]}
        self.assertEqual({name: cluster["connections"] for name, cluster in clusters.items()},
                         {"east": 0, "west": 2, "south": 0})
        self.assertEqual({way["address"] for way in clusters["west"]["ways"]},
                         {gateway.address for gateway in self.west.gateways})
        both, = [service for service in topology["services"] if service["name"] == "shop/both"]
        self.assertEqual([(cluster["name"], cluster["ready"], cluster["endpoints"])
                          for cluster in both["ports"][0]["clusters"]],
                         [("south", 1, 1), ("west", 1, 1)])
        held.kill()
        self.east.agent.wait_no_connections()


if __name__ == "__main__":
    case.main()
