# SPDX-License-Identifier: Apache-2.0
"""Workloads in the node's own namespace, and address ranges that are guarded."""
from testing import case, driver, host
from testing.topology import Endpoint, Pod

PORT = 8080


class HostWorkload(Pod):
    """A process of the node itself: a cgroup, and the node's own network namespace."""

    def __init__(self, cluster, name, enrolled=True):
        super().__init__(cluster, name, 0, enrolled)
        self.netns, self.ip, self.ip6 = cluster.netns, cluster.ip, cluster.ip6
        if not enrolled:
            return
        cluster.topology.extra_workloads.append({
            "name": self.workload, "cluster": cluster.name, "node": cluster.node,
            "namespace": self.namespace, "service_account": self.service_account,
            "cgroup": self.cgroup.removeprefix(host.cgroup2_mount())})


class HostNamespaceTest(case.TopologyCase):
    """No network namespace tells these workloads apart, only their cgroups."""

    topology_name = "hostns"
    start_agents = False

    @classmethod
    def build(cls):
        cls.east, cls.west = cls.topo.cluster("east"), cls.topo.cluster("west")
        cls.pod, cls.server = cls.east.pod("pod"), cls.west.pod("server")
        cls.allowed, cls.denied = HostWorkload(cls.east, "friend"), HostWorkload(cls.east, "foe")
        cls.stranger = HostWorkload(cls.east, "stranger", enrolled=False)
        cls.one, cls.two = HostWorkload(cls.west, "one"), HostWorkload(cls.west, "two")
        cls.service = cls.topo.service("shop/server", 80, [Endpoint(cls.server, PORT)])
        cls.service_one = cls.topo.service("shop/one", 80, [Endpoint(cls.one, PORT + 1)])
        cls.service_two = cls.topo.service("shop/two", 80, [Endpoint(cls.two, PORT + 2)])
        cls.topo.allow(cls.allowed, "shop/server")
        cls.topo.allow(cls.allowed, "shop/two")
        cls.topo.allow(cls.pod, "shop/one")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for workload in (cls.allowed, cls.denied, cls.one, cls.two):
            host.sh("mkdir", "-p", workload.cgroup)
            cls.topo.issue(workload.id, workload.cluster.agent.svid_dir(workload))
        cls.topo.start_agents()

    def test_all_are_enrolled(self):
        def others(agent):
            return [entry for entry in agent.cli("workloads")["workloads"]
                    if entry["error"] or not entry["enrolled"]]
        for cluster in self.topo.clusters:
            host.wait_until("all to be enrolled", lambda c=cluster: not others(c.agent))

    def test_clients_are_told_apart(self):
        server = driver.serve(self.server, PORT, "exchange-server")
        for vip in (self.service.vip, self.service.vip6):
            done = driver.connect(self.allowed, vip, 80, "names,exchange:100000:300000")
            self.assert_done(done, sent=100000, received=300000)
            self.assertEqual(done["peername"], [vip, 80])
            self.assert_done(server.next(), received=100000)
            self.assertEqual(driver.connect(self.denied, vip, 80, "send:1")["connect"], "EACCES")
        self.assertEqual(server.reports(), [])
        server.kill()

    def test_a_process_that_nobody_enrolled_is_not_carried(self):
        server = driver.serve(self.server, PORT, "exchange-server")
        result = driver.connect(self.stranger, self.service.vip, 80, "send:1")
        self.assertNotEqual(result["connect"], "ok")
        self.assertEqual(server.reports(), [])
        server.kill()

    def test_both_at_once(self):
        server = driver.serve(self.server, PORT, "exchange-server")
        peers = {workload.name: driver.Peer(workload, "connect", self.service.vip, 80,
                                            "exchange:1000:3000", 20)
                 for workload in (self.allowed, self.denied)}
        for _ in range(20):
            self.assert_done(peers["friend"].next(), received=3000)
            self.assertEqual(peers["foe"].next()["connect"], "EACCES")
        server.kill()

    def _peer_identity(self, client, service, server, port):
        """Who the agent says is on the other end of a running connection."""
        echo = driver.echo(server, port)
        running = driver.Peer(client, "hold", service.vip, 80, 1)
        self.assertEqual(running.next(), {"open": 1, "failures": []})
        found = [entry for entry in self.east.agent.connections(client)
                 if entry["service"] == service.name]
        running.tell()
        self.assertEqual(running.next(), {"alive": 1, "failures": []})
        echo.kill()
        self.assertEqual(len(found), 1, found)
        return found[0]["source_id"], found[0]["peer_id"]

    def test_endpoints_are_told_apart(self):
        self.assertEqual(self._peer_identity(self.pod, self.service_one, self.one, PORT + 1),
                         (self.pod.id, self.one.id))
        self.assertEqual(self._peer_identity(self.allowed, self.service_two, self.two, PORT + 2),
                         (self.allowed.id, self.two.id))
        for client, service in ((self.pod, self.service_two), (self.allowed, self.service_one)):
            self.assertEqual(driver.connect(client, service.vip, 80, "send:1")["connect"],
                             "EACCES")


class ProtectedRangeTest(case.PairCase):
    """capture.protected_ranges closes what nobody enrolled may reach."""

    topology_name = "guarded"

    @classmethod
    def build(cls):
        super().build()
        cls.stranger = cls.east.pod("stranger", enrolled=False)
        cls.east.agent.config = cls.guard("10.96.0.0/16", "fd00:96::/32")

    @staticmethod
    def guard(*ranges):
        """East's agent.yaml."""
        return {"capture": {"protected_ranges": list(ranges)}}

    def refusal(self, address):
        """How a stranger's connect() goes."""
        return driver.connect(self.stranger, address, 80, "send:1")["connect"]

    def test_strangers_are_refused_and_workloads_served(self):
        server = self.serve("send:10")
        for address in (self.service.vip, self.service.vip6, "10.96.200.1", "fd00:96::dead"):
            self.assertEqual(self.refusal(address), "EACCES", address)
        for vip in (self.service.vip, self.service.vip6):
            self.assert_done(driver.connect(self.client, vip, 80, "recv-eof"), received=10)
        local = driver.serve(self.client, PORT, "send:10")  # outside of the range: not our business
        self.assert_done(driver.connect(self.stranger, self.client.ip, PORT, "recv-eof"),
                         received=10)
        for peer in (server, local):
            peer.kill()

    def test_ranges_are_reloaded(self):
        try:
            self.east.agent.config = self.guard()
            self.east.agent.write_config()
            host.wait_until("the range to be opened",
                            lambda: self.refusal("10.96.200.1") != "EACCES")
        finally:
            self.east.agent.config = self.guard("10.96.0.0/16", "fd00:96::/32")
            self.east.agent.write_config()
        host.wait_until("the range to be closed",
                        lambda: self.refusal("10.96.200.1") == "EACCES")


if __name__ == "__main__":
    case.main()
