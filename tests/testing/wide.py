# SPDX-License-Identifier: Apache-2.0
"""The network between clusters that have several nodes or gateways.

    nodes and gateways ── lan router of the cluster ══ uplink ══ wan router ══ other clusters

A node has the same LAN address in every cluster, where it accepts tunnels, and an address of its
own that it dials from; a gateway listens on an address of its own. LAN addresses are routed within
their cluster only, so another cluster's nodes cannot be dialled, and neither can pods.
"""
import os
import subprocess

from . import host, network

LAN_ROUTER = "192.168.77.254"
_SLOW_LINK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "slow_link.py")


def node_addresses(cluster, number):
    """LAN address and own address of a node."""
    return f"192.168.77.{number}", f"172.31.{cluster}.{number}"


def gateway_addresses(cluster, number):
    """The same of a gateway."""
    return node_addresses(cluster, 100 + number)


def wan_router(topology):
    """The namespace between the clusters."""
    return f"tb-{topology.name}--wan"


def lan_router(cluster):
    """The namespace between a cluster's nodes, its gateways and its uplink."""
    return f"tb-{cluster.topology.name}-{cluster.name}--lan"


class Uplink:
    """What joins a cluster with the others. `shape` before the topology comes up, or change()
    while it is: milliseconds one way, percent lost, the largest packet that gets through, megabits
    a second (0: any number), and 1 where only this cluster can dial."""

    def __init__(self, cluster):
        self._cluster = cluster
        self.shape = None  # None: a veth pair
        self.process = None  # behind a link with a shape

    @property
    def _subnet(self):
        return f"172.31.{self._cluster.index}.0/24"

    @property
    def device(self):
        """In the WAN router; in the cluster's own it is "uplink"."""
        return f"to-{self._cluster.name}"[:15]

    def build(self):
        """Makes the link; routers are there."""
        lan, wan = lan_router(self._cluster), wan_router(self._cluster.topology)
        if self.shape is None:
            network.batch(lan, [f"link add uplink type veth peer name {self.device} netns {wan}"])
        else:
            self._start(lan, wan)
        index = self._cluster.index
        network.batch(lan, ["link set uplink addrgenmode none up",
                            f"addr add 169.254.{index}.2/30 dev uplink",
                            f"route add default via 169.254.{index}.1 dev uplink"])
        network.batch(wan, [f"link set {self.device} addrgenmode none up",
                            f"addr add 169.254.{index}.1/30 dev {self.device}",
                            f"route add {self._subnet} via 169.254.{index}.2 dev {self.device}"])

    def _start(self, lan, wan):
        cgroup = f"{self._cluster.topology.cgroup}/links"
        os.makedirs(cgroup, exist_ok=True)
        self.process = host.spawn(
            ["/usr/bin/python3", "-B", _SLOW_LINK, lan, "uplink", wan, self.device], cgroup,
            network.path(wan), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._cluster.topology.processes.append(self.process)
        if self.process.stdout.readline() != "ready\n":
            raise host.HostError(f"the link of {self._cluster.name} did not start")
        self.change(*self.shape)

    def change(self, milliseconds, loss=0, mtu=65536, megabits=0, one_way=0):
        """Of a link that had a shape when it came up."""
        self.process.stdin.write(f"{milliseconds} {loss} {mtu} {megabits} {one_way}\n")
        self.process.stdin.flush()

    def swallow(self, address, yes=True):
        """Drops without a word, or no longer, what is sent to an address of this cluster."""
        wan = wan_router(self._cluster.topology)
        verb = "add" if yes else "del"
        network.batch(wan, [f"route {verb} blackhole {address}"])

    def black_hole(self, yes=True):
        """The same for the whole cluster."""
        for half in (0, 128):  # which win against the route of the whole
            self.swallow(f"172.31.{self._cluster.index}.{half}/25", yes)


def build(topology):
    """The routers, and what joins them; nodes' and pods' namespaces are there."""
    wan = wan_router(topology)
    _add_router(wan)
    for cluster in topology.clusters:
        lan = lan_router(cluster)
        _add_router(lan)
        network.batch(lan, [f"addr add {LAN_ROUTER}/32 dev lo"])
        cluster.link.build()
        for number, place in enumerate(cluster.places()):
            _attach(lan, f"port{number}", place)


def _add_router(netns):
    network.add_namespace(netns)
    network.forward(netns)


def _attach(lan, port, place):
    """A node or gateway to its cluster's router."""
    network.batch(lan, [f"link add {port} type veth peer name lan netns {place.netns}",
                        f"link set {port} addrgenmode none up"])
    network.batch(lan, [f"route add {address} dev {port}" for address in (place.lan, place.ip)])
    network.batch(place.netns, [
        "link set lan addrgenmode none up",
        f"addr add {place.lan}/32 dev lan", f"addr add {place.ip}/32 dev lan"])
    route(place)


def route(place):
    """Of a node or gateway; a link that goes down takes its routes with it."""
    network.batch(place.netns, [
        f"route add {LAN_ROUTER} dev lan src {place.lan}",
        f"route add {network.LAN} via {LAN_ROUTER} dev lan src {place.lan}",
        f"route add default via {LAN_ROUTER} dev lan src {place.ip}"])
