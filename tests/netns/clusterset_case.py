# SPDX-License-Identifier: Apache-2.0
"""The whole of it at once: three clusters of two gateways each that are some milliseconds apart, one
of which nobody can dial, and a directory in an etcd of three members. Each has a file of its own,
and the same addresses and node names as the others."""
from testing import case, driver, host
from testing.etcd import Etcd
from testing.topology import TRUST_DOMAIN, Endpoint

NAME, ECHO = 80, 81  # ports of every service: one says who serves it, one echoes
_OWN = {NAME: 8080, ECHO: 8081}  # of what is behind them
OWN_VIP, LOCAL_VIP, MOVING_VIP, SPREAD_VIP = (f"10.96.0.{number}" for number in range(10, 14))
IMPORTED = "10.112.0.0/16"


class ClustersetCase(case.TopologyCase):
    """Every cluster exports shop/<its name>, and has a shop/local that is nobody else's. East has
    shop/moving at first, and so have west and south shop/spread, to which affinity is by source."""

    start_agents = False
    config = {}  # of nodes

    @classmethod
    def build(cls):
        cls.east, cls.west, cls.south = (
            cls.topo.cluster(name, nodes=2, gateways=2) for name in ("east", "west", "south"))
        cls.east.link.shape = cls.west.link.shape = (5,)
        cls.south.via, cls.south.link.shape = "east", (5, 0, 65536, 0, 1)
        cls.etcd = Etcd(cls.topo, members=3)
        cls.clients, cls.servers = {}, {}
        for cluster in cls.topo.clusters:
            cluster.own_directory = True
            cls.clients[cluster] = cluster.pod("client")
            cls.servers[cluster] = cluster.pod("server", node=2)
        cls.more_clients = [cls.east.pod(f"client-{number}") for number in range(2, 8)]
        cls.exported = {"moving": {cls.east}, "spread": {cls.west, cls.south}}
        write, cls.topo.write_directory = cls.topo.write_directory, cls.write_directories
        cls._write = staticmethod(write)

    @classmethod
    def setUpClass(cls):
        case.need("etcd", "etcdctl", "curl", "openssl")
        super().setUpClass()
        cls.etcd.prepare()
        cls.etcd.start()
        cls.etcd.init()
        cls.etcd.command("namespace", "grant", "shop", *(c.name for c in cls.topo.clusters))
        for place in cls.topo.places():
            place.agent.config = {"threads": 1, "shared_directory": cls.etcd.config(place)}
        for node in cls.topo.nodes():
            node.agent.config |= cls.config
        for place in cls.topo.places():
            place.agent.write_config()
        cls.topo.start_agents()

    @classmethod
    def write_directories(cls):
        """Each cluster's own: nobody else's nodes, workloads or endpoints are in it."""
        for cluster in cls.topo.clusters:
            whole = cls.topo.directory()
            whole["clusters"] = [cluster.entry()]
            whole["workloads"] = [entry for entry in whole["workloads"]
                                  if entry["cluster"] == cluster.name]
            whole["services"] = cls.services_of(cluster)
            whole["imports"] = {"vips": [IMPORTED]}
            names = [f"shop/{one.name}" for one in cls.topo.clusters]
            whole["allow"] = [{"from": f"spiffe://{TRUST_DOMAIN}/*", "to": name}
                              for name in (*names, "shop/local", "shop/moving", "shop/spread")]
            cls._write(whole, cluster)

    @classmethod
    def services_of(cls, cluster):
        """What its file says of them."""
        def service(name, vip, endpoints=True, **more):
            return {"name": f"shop/{name}", "vips": [vip], "ports": [
                {"port": port, "endpoints":
                 [Endpoint(cls.servers[cluster], own).entry()] if endpoints else []}
                for port, own in _OWN.items()]} | more
        services = [service(cluster.name, OWN_VIP, export=True), service("local", LOCAL_VIP)]
        if cluster is not cls.south:
            services.append(service("moving", MOVING_VIP, cluster in cls.exported["moving"],
                                    export=True))
        if cluster in cls.exported["spread"]:
            services.append(service("spread", SPREAD_VIP, export=True))
        if cluster is cls.east:
            services.append(service("spread", SPREAD_VIP, False, balancing={
                "order": "none", "affinity": "source"}))
        return services

    def setUp(self):
        super().setUp()
        for cluster, pod in self.servers.items():
            driver.serve(pod, _OWN[NAME], f"text:{cluster.name},recv-eof")
            driver.echo(pod, _OWN[ECHO])
        self.wait_joined()

    def wait_joined(self):
        """Until every cluster's nodes may use what the others export, and there are links."""
        for cluster in self.topo.clusters:
            for node in cluster.nodes:
                for other in self.topo.clusters:
                    self.wait_for(node, other.name, other)
                self.wait_for(node, "moving", *self.exported["moving"])
        for node in self.east.nodes:
            self.wait_for(node, "spread", *self.exported["spread"])
        for gateway in self.east.gateways:
            host.wait_until(f"links of south to {gateway.agent.instance}",
                            lambda g=gateway: g.agent.has_links("south", 2))

    def service(self, node, name):
        """A service as a node sees it; or {}."""
        services = node.agent.cli("services")["services"]
        return next((one for one in services if one["name"] == f"shop/{name}"), {})

    def wait_for(self, node, name, *clusters):
        """Until it may use that service in exactly these clusters."""
        wanted = {cluster.name for cluster in clusters}
        host.wait_until(f"{node.agent.instance} to have shop/{name} in {wanted}", lambda: {
            endpoint["cluster"] for port in self.service(node, name).get("ports", [])
            for endpoint in port["endpoints"] if endpoint["ready"]} == wanted)

    def vip(self, cluster, name):
        """What a cluster calls a service."""
        return host.wait_until(f"a VIP for shop/{name} in {cluster.name}", lambda: next(
            iter(self.service(cluster.nodes[0], name).get("vips", [])), None))

    def vips(self):
        """All that clusters call what they import."""
        return {(cluster.name, other.name): self.vip(cluster, other.name)
                for cluster in self.topo.clusters for other in self.topo.clusters
                if cluster is not other}

    def ask(self, cluster, vip, pod=None):
        """Which cluster answers a new connection of one's client, or how that failed."""
        result = driver.connect(pod or self.clients[cluster], vip, NAME, "read-text,shutdown")
        return result.get("text") or result.get("end") or result["connect"]

    def begin_traffic(self, cluster, vip, long=0):
        """Connections that come and go, and `long` that stay; see traffic.py."""
        traffic = driver.Peer(self.clients[cluster], "traffic", vip, ECHO, long, 0.2, 20)
        traffic.next()
        return traffic

    def see_more(self, traffic):
        """More good ones than before; what the traffic says of itself."""
        def state():
            traffic.tell()
            return traffic.next()
        before = state()["short"]
        return host.wait_until("more good connections", lambda: next(
            (now for now in [state()] if now["short"] > before + 10), None))

    def end_traffic(self, traffic):
        """None has failed since it began; the last state."""
        self.see_more(traffic)
        traffic.tell("end")
        state = traffic.next()
        self.assertEqual(state["failures"], [])
        return state
