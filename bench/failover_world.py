# SPDX-License-Identifier: Apache-2.0
"""Three clusters that share a directory in etcd, and the load between them.

East asks, from a pod on each of two nodes. West and south serve, each on two nodes behind two
gateways; east's directory prefers one of them. Beside shop/web, which both export, the other one
alone exports shop/other: connections to it have nothing to do with the first.
"""
import json
import select
import subprocess
from dataclasses import dataclass, field

from testing import host, network, wide
from testing.shared_topology import SharedTopology
from testing.topology import TRUST_DOMAIN, Endpoint

import failover_load
import world as worlds

_PORT = 8080
_WEB, _OTHER = "shop/web", "shop/other"
_VIPS = {_WEB: "10.96.0.10", _OTHER: "10.96.0.11"}
_PYTHON = ("/usr/bin/python3", "-B", failover_load.__file__)


@dataclass
class Path:
    """What a long connection goes through: everything whose death must end it."""
    client: object  # east's node
    gateways: list  # the one that east dials, and over a link the one that has dialled that
    node: object
    cluster: object

    def through(self, dead):
        """Whether any of these is part of it: nodes, gateways, clusters (for their uplink)."""
        return any(part in dead for part in (self.client, *self.gateways, self.node, self.cluster))


@dataclass
class Report:
    """What the load has met."""
    short: list = field(default_factory=list)  # [begun, seconds, error or None]
    long: list = field(default_factory=list)  # (Path, what failover_load says of it)


class World:
    """A context manager: everything runs, and nothing is asked, when it has been entered. East
    prefers west."""

    def __init__(self, name):
        self.topo = topo = SharedTopology(name, members=3)
        self.east, self.west, self.south = (
            topo.cluster(name, nodes=2, gateways=2) for name in ("east", "west", "south"))
        self.clients = [self.east.pod(f"client-{n}", node=n) for n in (1, 2)]
        self.servers = [cluster.pod(f"server-{n}", node=n)
                        for cluster in (self.west, self.south) for n in (1, 2)]
        for pod in self.servers:
            pod.service_account = "server"
        for cluster in topo.clusters:
            cluster.link.shape = (5,)  # one way
        for service in _VIPS:
            topo.allow(f"spiffe://{TRUST_DOMAIN}/cluster/east/*", service)
        topo.services_of = self._services_of
        self.etcd = topo.etcd
        self.preferred, self.other = self.west, self.south

    def __enter__(self):
        try:
            self._up()
        except BaseException:
            self.topo.down()
            raise
        return self

    def __exit__(self, *_):
        self.topo.down()

    def _up(self):
        self.topo.up()
        self.topo.share("shop", self.west, self.south)
        for pod in self.servers:
            worlds.await_ready(pod.start(
                [*_PYTHON, "serve", pod.ip, str(_PORT), f"{pod.cluster.name}/{pod.node.node}"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE), pod.workload)
        self.topo.start_agents()
        for node in self.east.nodes:
            host.wait_until("east to know who serves", lambda n=node: self.known(n) == {
                (_WEB, "west"), (_WEB, "south"), (_OTHER, self.other.name)})

    def known(self, node):
        """(service, cluster) of the endpoints that a node may choose among."""
        return {(service["name"], endpoint["cluster"])
                for service in node.agent.cli("services")["services"]
                for port in service["ports"] for endpoint in port["endpoints"] if endpoint["ready"]}

    def _services_of(self, cluster):
        """In its own file."""
        endpoints = [Endpoint(pod, _PORT).entry() for pod in self.servers if pod.cluster is cluster]
        return [{"name": name, "vips": [vip], "ports": [{"port": 80, "endpoints": endpoints}]}
                | self._extras(cluster, name) for name, vip in _VIPS.items()]

    def _extras(self, cluster, name):
        if cluster is self.east:
            return {"balancing": {"tiers": [{"clusters": [one.name]}
                                            for one in (self.preferred, self.other)]}}
        return {"export": True} if cluster is self.other or name == _WEB else {}

    def load(self, rate, longs):
        """Begins: `rate` new connections a second and so many long ones, of all clients."""
        return Load(self, rate / len(self.clients), longs // len(self.clients))

    def publisher(self, cluster):
        """The gateway that writes what a cluster says."""
        def found():
            return next((gateway for gateway in cluster.gateways if gateway.agent.cli(
                "status")["shared_directory"].get("publisher")), None)
        return host.wait_until(f"{cluster.name} to have a publisher", found)

    def cut_from_etcd(self, cluster, yes=True):
        """Drops what a cluster's nodes and gateways send to etcd, and nothing else."""
        network.batch(wide.lan_router(cluster), [
            f"route {'add' if yes else 'del'} blackhole {member.address}/32"
            for member in self.etcd.members])

    def complaints(self):
        """What agents have to say against a result."""
        return [line for runner in self.topo.runners() for line in runner.complaints()]


class LinkedWorld(World):
    """South can only dial out: its gateways have links to west's. East prefers south."""

    def __init__(self, name):
        super().__init__(name)
        self.south.via = "west"
        self.south.link.shape = (*self.south.link.shape, 0, 65536, 0, 1)
        self.preferred, self.other = self.south, self.west

    def _up(self):
        super()._up()
        for gateway in self.west.gateways:
            host.wait_until("south's links", lambda g=gateway: g.agent.has_links("south", 2))


class Load:
    """The clients' processes."""

    def __init__(self, world, rate, longs):
        self._world = world
        short = f"{_VIPS[_WEB]}:80"
        long = [f"{short}:{longs}", f"{_VIPS[_OTHER]}:80:{max(1, longs // 4)}"]
        self._processes = [(pod, pod.start([*_PYTHON, "load", str(rate), short, *long],
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE))
                           for pod in world.clients]
        self._paths = {}
        for pod, process in self._processes:
            opened = self._read(pod, process)
            known = {entry["source_address"].rsplit(":", 1)[1]: entry
                     for entry in pod.node.agent.connections(pod)}
            for seen in opened:
                self._paths[pod, seen["number"]] = self._path(pod, known[str(seen["port"])], seen)

    @staticmethod
    def _read(pod, process):
        if not select.select([process.stdout], [], [], 2 * host.PATIENCE)[0]:
            raise host.HostError(f"{pod.workload}: the load says nothing")
        line = process.stdout.readline()
        if not line:
            raise host.HostError(f"{pod.workload}: the load has ended")
        return json.loads(line)

    def _path(self, pod, entry, seen):
        name, _, node = seen["server"].partition("/")
        cluster = next(one for one in self._world.topo.clusters if one.name == name)
        path = Path(client=pod.node, cluster=cluster, gateways=[
            place for place in self._world.topo.places()
            if getattr(place, "address", None) == entry["peer_address"]],
            node=next(one for one in cluster.nodes if one.node == node))
        if cluster.via:
            # Its node knows which gateway has dialled.
            accepted = next(one for one in path.node.agent.connections(pod)
                            if one["source_address"] == entry["source_address"])
            path.gateways += [gateway for gateway in cluster.gateways
                              if accepted["peer_address"].rsplit(":", 1)[0] in (gateway.lan, gateway.ip)]
        if len(path.gateways) != (2 if cluster.via else 1):
            raise host.HostError(f"{pod.workload}: which way {entry} goes is not clear")
        return path

    def end(self):
        """Waits for what is under way."""
        report = Report()
        for _, process in self._processes:
            process.stdin.close()
        for pod, process in self._processes:
            said = self._read(pod, process)
            report.short += said["short"]
            report.long += [(self._paths[pod, seen["number"]], seen) for seen in said["long"]]
        report.short.sort()
        return report
