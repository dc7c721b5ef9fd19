# SPDX-License-Identifier: Apache-2.0
"""What the tests of changing files share."""
from testing import case, driver, host
from testing.topology import Endpoint


# One pool of tunnels, and none that ends by itself while a test compares what is in it.
CONFIG = {"threads": 1, "deadlines": {"idle_tunnel": "1h"}}


class ReloadCase(case.PairCase):
    """Two clients in east, two servers in west, and a directory of its own for each cluster."""

    @classmethod
    def build(cls):
        super().build()
        for cluster in cls.topo.clusters:
            cluster.own_directory = True
            cluster.agent.config = CONFIG
        cls.other, cls.second = cls.east.pod("other"), cls.west.pod("second")
        cls.topo.allow(cls.other, "shop/server")

    def setUp(self):
        super().setUp()
        self.held = 0
        self.replace(self.topo.directory())
        self.settle()

    def after_reload(self, clusters, change):
        """Calls change(), and waits until the agents have read their files and acted on them.

        Every reload counts the snapshot's version up, whichever file it was that changed. The
        status asked for last has been through every thread after the new state was sent there.
        """
        before = [self.snapshot(cluster)["version"] for cluster in clusters]
        change()
        for cluster, version in zip(clusters, before):
            host.wait_until("the files to be read again",
                            lambda c=cluster, v=version: self.snapshot(c)["version"] > v)
            self.snapshot(cluster)

    def replace(self, content, clusters=None):
        """Writes a good directory and waits until the agents have taken it over."""
        for cluster in clusters or self.clusters:
            self.after_reload([cluster], lambda c=cluster: self.topo.write_directory(
                content, cluster=c))

    def with_endpoints(self, *endpoints):
        """The directory with other endpoints behind the service."""
        content = self.topo.directory()
        content["services"][0]["ports"][0]["endpoints"] = [each.entry() for each in endpoints]
        return content

    def with_service(self, name, vip, pod):
        """The directory with one more service, which `client` may use."""
        content = self.topo.directory()
        content["services"] = content["services"] + [{"name": name, "vips": [vip], "ports": [
            {"port": 80, "endpoints": [Endpoint(pod, self.PORT).entry()]}]}]
        content["allow"] = content["allow"] + [{"from": self.client.id, "to": name}]
        return content

    def settle(self):
        """Waits until nothing of an earlier test is left."""
        for cluster in self.clusters:
            cluster.agent.wait_no_connections()

    @property
    def clusters(self):
        """Those with an agent."""
        return [cluster for cluster in self.topo.clusters if cluster.agent.process]

    @staticmethod
    def snapshot(cluster):
        """What the agent says about its directory."""
        return cluster.agent.cli("status")["snapshot"]

    def wait_open(self, count):
        """Waits until so many connections are relayed, as both agents see it."""
        for cluster in self.clusters:
            cluster.agent.wait_open(count)

    def idle_tunnels(self, pod):
        """Ids of the tunnels that wait for a client's next connection."""
        return {entry["tunnel"] for entry in self.east.agent.cli("tunnels")["tunnels"]
                if entry["state"] == "idle" and entry["local_id"] == pod.id}

    def make_idle_tunnel(self, pod):
        """One connection of a client, to its end: what is in the pool after it."""
        self.assertEqual(self.ask(pod), "x")
        held = self.held if pod is self.client else 0
        host.wait_until("the connection to end",
                        lambda: len(self.east.agent.connections(pod)) == held)
        idle = self.idle_tunnels(pod)
        self.assertTrue(idle)
        return idle

    def ask(self, pod=None, vip=None):
        """What a new connection gets to read; an echo server answers x."""
        result = driver.connect(pod or self.client, vip or self.service.vip, 80,
                                "text:x,read-text")
        return result.get("text") or result.get("end") or result["connect"]

    def hold(self):
        """A running connection to an echo server; go_on() shows that it still runs."""
        peer = self.peer("hold", 1)
        self.assertEqual(peer.next(), {"open": 1, "failures": []})
        self.held += 1
        return peer

    def go_on(self, peer):
        """The held connection carries another byte each way, and ends."""
        peer.tell()
        self.assertEqual(peer.next(), {"alive": 1, "failures": []})
        self.held -= 1
