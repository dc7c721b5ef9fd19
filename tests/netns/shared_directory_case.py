# SPDX-License-Identifier: Apache-2.0
"""What the tests of the directory in etcd share: clusters that know of each other only what it
says, each with a directory file of its own."""
from testing import case, driver, host
from testing.shared_topology import SharedTopology
from testing.topology import Endpoint

PORTS = {80: 8080, 81: 8081}  # of the service, and of what is behind it


class SharedDirectoryCase(case.TopologyCase):
    """West and south export shop/web; east only has a rule for it.

    On port 80 it says which cluster serves it, on port 81 it echoes."""

    start_agents = False
    members = 1  # of etcd
    config = {}  # of agents and gateways

    @classmethod
    def topology(cls):
        return SharedTopology(cls.topology_name, cls.members)

    @classmethod
    def setUpClass(cls):
        case.need("etcd", "curl", "openssl")
        super().setUpClass()
        cls.topo.share("shop", cls.west, cls.south, **cls.config)
        cls.topo.start_agents()

    @classmethod
    def build(cls):
        cls.east, cls.west, cls.south = (
            cls.topo.cluster(name, gateways=2) for name in ("east", "west", "south"))
        cls.etcd = cls.topo.etcd
        cls.client = cls.east.pod("client")
        cls.topo.allow(cls.client, "shop/web")
        cls.servers = {cluster: cluster.pod("server") for cluster in (cls.west, cls.south)}
        cls.exported = {cls.west, cls.south}
        cls.weights = {cls.west: 1, cls.south: 1}
        cls.topo.services_of = cls.services_of

    @classmethod
    def services_of(cls, cluster):
        """Of its own directory file."""
        if cluster not in cls.exported:
            return []
        return [{"name": "shop/web", "vips": ["10.96.0.10"], "export": True, "ports": cls.ports(cluster)}]

    @classmethod
    def ports(cls, cluster):
        """Of its shop/web, as the directory has them."""
        pod, weight = cls.servers[cluster], cls.weights[cluster]
        return [{"port": port, "endpoints": [Endpoint(pod, own, weight=weight).entry()]}
                for port, own in PORTS.items()]

    def setUp(self):
        super().setUp()
        for pod in self.servers.values():
            driver.serve(pod, PORTS[80], f"text:{pod.cluster.name},recv-eof")
            driver.echo(pod, PORTS[81])
        self.vip = host.wait_until("a VIP for shop/web", self.web_vip)
        self.wait_for_clusters(*(cluster.name for cluster in self.exported))

    def web(self, agent=None):
        """shop/web as east's node, or another agent, sees it; or {}."""
        services = (agent or self.east.agent).cli("services")["services"]
        return next((service for service in services if service["name"] == "shop/web"), {})

    def web_vip(self, agent=None):
        """What east, or the cluster of another agent, calls it."""
        return next(iter(self.web(agent).get("vips", [])), None)

    def clusters(self, agent=None):
        """Who serves it, ready, for east."""
        return {endpoint["cluster"] for port in self.web(agent).get("ports", [])
                for endpoint in port["endpoints"] if endpoint["ready"]}

    def wait_for_clusters(self, *names, agent=None):
        """Until east, or the cluster of another agent, may choose among exactly these."""
        host.wait_until(f"shop/web in {names}", lambda: self.clusters(agent) == set(names))

    def ask(self, client=None):
        """Which cluster answers a new connection of a client, or how that failed."""
        vip = self.vip if client is None else self.web_vip(client.cluster.agent)
        result = driver.connect(client or self.client, vip, 80, "read-text,shutdown")
        return result.get("text") or result.get("end") or result["connect"]
