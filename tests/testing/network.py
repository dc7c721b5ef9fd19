# SPDX-License-Identifier: Apache-2.0
"""Network namespaces, veth pairs and routes of a topology. Nothing touches the host's network."""
import glob
import itertools
import os
import subprocess

from . import host

LINKS, LINKS6 = "172.31.0.0/16", "fd31::/16"
LAN = "192.168.77.0/24"  # of a cluster with several nodes: wide.py
GATEWAY, GATEWAY6 = "10.0.0.1", "fe80::1"


def path(netns):
    """The namespace's file."""
    return f"/run/netns/{netns}"


def link_address(link, end):
    """Both addresses of end 1 or 2 of the n-th link between nodes."""
    return f"172.31.{link}.{end}", f"fd31:{link}::{end}"


def batch(netns, commands, family=None):
    """Runs many ip(8) commands at once inside a namespace. `family` matters to rules only."""
    argv = ["ip", *([family] if family else []), "-n", netns, "-batch", "-"]
    done = subprocess.run(argv, input="\n".join(commands), capture_output=True, text=True,
                          timeout=60)
    if done.returncode != 0:
        raise host.HostError(f"ip -n {netns}: {done.stderr.strip()}")


def _sysctl(netns, settings):
    def write():
        for key, value in settings.items():
            with open(f"/proc/sys/net/{key}", "w", encoding="ascii") as out:
                out.write(value)
    host.in_netns(path(netns), write)


def set_congestion_control(netns, name):
    """What its TCP connections have from now on unless they choose; returns what it was before."""
    def write():
        with open("/proc/sys/net/ipv4/tcp_congestion_control", "r+", encoding="ascii") as setting:
            before = setting.read().strip()
            setting.seek(0)
            setting.write(name)
            return before
    return host.in_netns(path(netns), write)


def sockets(netns, *which):
    """What the kernel says of a namespace's TCP connections, a line each; see ss(8)."""
    return host.in_netns(path(netns), lambda: host.sh("ss", "-tinO", *which)).splitlines()[1:]


def add_namespace(netns):
    """Makes it, with its loopback interface up."""
    host.sh("ip", "netns", "add", netns)
    batch(netns, ["link set lo up"])


def forward(netns):
    """Makes it a router. Before it has links: forwarding changes what IPv6 interfaces start with."""
    _sysctl(netns, {"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"})


def build(clusters):
    """Makes the namespaces of nodes, gateways and pods."""
    for cluster in clusters:
        for gateway in cluster.gateways:
            add_namespace(gateway.netns)
        for node in cluster.nodes:
            add_namespace(node.netns)
            forward(node.netns)
            batch(node.netns, [f"addr add {GATEWAY}/32 dev lo"])
            for pod in node.pods:
                _add_pod(node, pod)


def join(clusters):
    """Links between clusters of one node each."""
    # The first cluster's links come first: link n joins it with cluster n+1 (see Node.ip).
    for number, (one, other) in enumerate(itertools.combinations(clusters, 2)):
        _join(one, other, number)
    if len(clusters) == 1:
        batch(clusters[0].netns, [f"addr add {clusters[0].ip}/32 dev lo",
                                  f"addr add {clusters[0].ip6}/128 dev lo"])


def _add_pod(node, pod):
    """A veth pair, a host route on the node's side, a default route on the pod's."""
    add_namespace(pod.netns)
    port = f"pod-{pod.name}"[:15]
    batch(node.netns, [
        f"link add {port} type veth peer name eth0 netns {pod.netns}",
        f"link set {port} addrgenmode none up",
        f"addr add {GATEWAY6}/64 dev {port} nodad",
    ])
    batch(pod.netns, [
        "link set eth0 addrgenmode none up",
        f"addr add {pod.ip}/32 dev eth0",
        f"route add {GATEWAY} dev eth0 src {pod.ip}",
        f"route add default via {GATEWAY} dev eth0 src {pod.ip}",
        f"addr add {pod.ip6}/128 dev eth0 nodad",
        "route add fe80::/64 dev eth0",
        f"route add ::/0 via {GATEWAY6} dev eth0 src {pod.ip6}",
    ])
    # Pods do not get onto the links between nodes: what is seen there is the agents' doing.
    batch(node.netns, [f"route add {pod.ip}/32 dev {port}",
                       f"rule add iif {port} to {LINKS} prohibit",
                       f"rule add iif {port} to {LAN} prohibit"])
    batch(node.netns, [f"route add {pod.ip6}/128 dev {port}",
                       f"rule add iif {port} to {LINKS6} prohibit"], "-6")


def _join(one, other, number):
    """A link between two nodes. Addresses of the pods are routed nowhere."""
    device = f"link{number}"
    batch(one.netns, [f"link add {device} type veth peer name {device} netns {other.netns}"])
    for end, (node, peer) in enumerate(((one, other), (other, one)), start=1):
        here, here6 = link_address(number, end)
        batch(node.netns, [f"link set {device} addrgenmode none up",
                           f"addr add {here}/24 dev {device}",
                           f"addr add {here6}/64 dev {device} nodad"])
    for end, (node, peer) in enumerate(((one, other), (other, one)), start=1):
        there, there6 = link_address(number, 3 - end)
        if peer.ip != there:
            batch(node.netns, [f"route add {peer.ip}/32 via {there}",
                               f"route add {peer.ip6}/128 via {there6}"])


def remove(prefix):
    """Deletes every namespace whose name begins so; their links go with them."""
    for found in glob.glob(f"/run/netns/{prefix}*"):
        host.sh("ip", "netns", "delete", os.path.basename(found))
