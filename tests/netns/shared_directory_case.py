# SPDX-License-Identifier: Apache-2.0
"""What the tests of the directory in etcd share: clusters that know of each other only what it
says, each with a directory file of its own."""
from testing import case, driver, host
from testing.etcd import Etcd
from testing.topology import TRUST_DOMAIN, Endpoint

PORTS = {80: 8080, 81: 8081}  # of the service, and of what is behind it
VIPS = "10.112.0.0/16"


class SharedDirectoryCase(case.TopologyCase):
    """West and south export shop/web; east only has a rule for it.

    On port 80 it says which cluster serves it, on port 81 it echoes."""

    start_agents = False
    members = 1  # of etcd

    @classmethod
    def setUpClass(cls):
        case.need("etcd", "curl", "openssl")
        super().setUpClass()
        cls.etcd.prepare()
        cls.etcd.start()
        cls.etcd.init()
        cls.etcd.command("namespace", "grant", "shop", "west", "south")
        for place in cls.topo.places():
            place.agent.config = {"threads": 1, "shared_directory": cls.etcd.config(place)}
            place.agent.write_config()
        cls.topo.start_agents()

    @classmethod
    def build(cls):
        cls.east, cls.west, cls.south = (
            cls.topo.cluster(name, gateways=2) for name in ("east", "west", "south"))
        cls.etcd = Etcd(cls.topo, cls.members)
        cls.client = cls.east.pod("client")
        cls.servers = {cluster: cluster.pod("server") for cluster in (cls.west, cls.south)}
        cls.exported = {cls.west, cls.south}
        cls.weights = {cls.west: 1, cls.south: 1}
        for cluster in cls.topo.clusters:
            cluster.own_directory = True
        write, cls.topo.write_directory = cls.topo.write_directory, cls.write_directories
        cls._write = staticmethod(write)

    @classmethod
    def write_directories(cls):
        """Each cluster's own: nobody else's nodes, workloads or services are in it."""
        for cluster in cls.topo.clusters:
            whole = cls.topo.directory()
            whole["clusters"] = [cluster.entry()]
            whole["workloads"] = [entry for entry in whole["workloads"]
                                  if entry["cluster"] == cluster.name]
            whole["services"] = []
            if cluster in cls.exported:
                whole["services"] = [{"name": "shop/web", "vips": ["10.96.0.10"], "export": True,
                                      "ports": cls.ports(cluster)}]
            whole["imports"] = {"vips": [VIPS]}
            whole["allow"] = [{"from": f"spiffe://{TRUST_DOMAIN}/cluster/east/ns/shop/sa/client",
                               "to": "shop/web"}]
            cls._write(whole, cluster)

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
        self.wait_for_clusters("west", "south")

    def web(self, agent=None):
        """shop/web as east's node, or another agent, sees it; or {}."""
        services = (agent or self.east.agent).cli("services")["services"]
        return next((service for service in services if service["name"] == "shop/web"), {})

    def web_vip(self):
        """What east calls it."""
        return next(iter(self.web().get("vips", [])), None)

    def clusters(self, agent=None):
        """Who serves it, ready, for east."""
        return {endpoint["cluster"] for port in self.web(agent).get("ports", [])
                for endpoint in port["endpoints"] if endpoint["ready"]}

    def wait_for_clusters(self, *names):
        """Until east may choose among exactly these."""
        host.wait_until(f"shop/web in {names}", lambda: self.clusters() == set(names))

    def ask(self):
        """Which cluster answers a new connection, or how that failed."""
        result = driver.connect(self.client, self.vip, 80, "read-text,shutdown")
        return result.get("text") or result.get("end") or result["connect"]
