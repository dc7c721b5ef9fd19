# SPDX-License-Identifier: Apache-2.0
"""What a topology's clusters are made of: nodes with an agent each, gateways, pods.

A cluster that has one node and no gateways is that node: Cluster has all that Node has.
"""
import os
import subprocess

from . import host, network, wide
from .agent import Agent
from .gateway import Gateway as GatewayAgent

TRUST_DOMAIN = "tombolo.example"
TUNNEL_PORT = 15008


class Pod:
    """A workload's network namespace and cgroup; enrolled means: named in the directory."""

    def __init__(self, cluster, name, index, enrolled, node=None):
        self.cluster, self.name, self.enrolled = cluster, name, enrolled
        self.node = node or cluster.nodes[0]
        self.namespace, self.service_account = "shop", name
        self.ip, self.ip6 = f"10.0.0.{10 + index}", f"fd00:10::{10 + index}"
        self.netns = f"tb-{cluster.topology.name}-{cluster.name}-{name}"
        self.cgroup = f"{self.node.cgroup}/{name}"

    @property
    def workload(self):
        """Its name in the directory."""
        return f"{self.cluster.name}/{self.name}"

    @property
    def id(self):
        """Its SPIFFE ID."""
        return (f"spiffe://{TRUST_DOMAIN}/cluster/{self.cluster.name}"
                f"/ns/{self.namespace}/sa/{self.service_account}")

    def start(self, argv, cgroup=None, **kwargs):
        """Starts a process in this pod; `cgroup` is a name below the pod's own."""
        path = os.path.join(self.cgroup, cgroup) if cgroup else self.cgroup
        os.makedirs(path, exist_ok=True)
        process = host.spawn(argv, path, network.path(self.netns), **kwargs)
        self.cluster.topology.processes.append(process)
        return process

    def run(self, argv, cgroup=None, timeout=60, **kwargs):
        """Runs a command in this pod to its end."""
        process = self.start(argv, cgroup, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, **kwargs)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.communicate()
            raise host.HostError(f"{self.workload}: no end after {timeout}s: {argv}") from error
        return subprocess.CompletedProcess(argv, process.returncode, out, err)


class Place:
    """A network namespace of a cluster that one of our processes runs in, and its files."""

    def __init__(self, cluster, suffix):
        self.cluster, self.topology = cluster, cluster.topology
        self.netns = f"tb-{self.topology.name}-{cluster.name}{suffix}"
        self.cgroup = f"{self.topology.cgroup}/{cluster.name}{suffix}"
        self.dir = f"{self.topology.dir}/{cluster.name}{suffix}"
        self.instance = f"{self.topology.name}-{cluster.name}{suffix}"
        self.own_directory = False  # True: a directory file that nobody else reads

    @property
    def directory_file(self):
        """The directory that its process reads."""
        return f"{self.dir if self.own_directory else self.topology.dir}/directory.yaml"


class Node(Place):
    """The `number`-th node of a cluster, from 1, and its agent."""

    def __init__(self, cluster, number):
        super().__init__(cluster, "" if number == 1 else f"-{number}")
        self.number = number
        self.node = f"node-{number}" if cluster.wide else f"{cluster.name}-1"
        self.pods = []
        if cluster.wide:
            # Where it accepts tunnels no other cluster has a route to.
            self.lan, self.ip = wide.node_addresses(cluster.index, number)
            self.ip6 = None
            self.tunnel = f"{self.lan}:{TUNNEL_PORT}"
        else:
            # On the link with the first cluster; routes make them reachable over the others too.
            index = cluster.index
            self.ip, self.ip6 = network.link_address(max(index - 1, 0), 1 if index == 0 else 2)
            self.tunnel = f"{self.ip}:{TUNNEL_PORT}"
        self.agent = Agent(self)

    def entry(self):
        """As the directory has it."""
        return {"name": self.node, "tunnel": self.tunnel}


class Gateway(Place):
    """The `number`-th gateway of a cluster, from 1, and the agent that is one."""

    def __init__(self, cluster, number):
        super().__init__(cluster, f"-gw{number}")
        self.lan, self.ip = wide.gateway_addresses(cluster.index, number)
        self.agent = GatewayAgent(self, f"gw-{number}")
        self.agent.instance = self.instance
        self.address = self.agent.address

    def entry(self):
        """As the directory has it."""
        via = self.cluster.via
        return {"name": self.agent.name, "via": via} if via else self.agent.entry()


class Cluster:
    """Nodes, gateways and pods. Its first node's attributes are the cluster's, too."""

    def __init__(self, topology, name, index, nodes=1, gateways=0):
        self.topology, self.name, self.index = topology, name, index
        self.cluster = self  # as a place is of one
        self.wide = nodes > 1 or gateways > 0
        self.draining = False  # or True, or {"deadline": ...}
        self.via = ""  # the cluster that its gateways have links to, because nobody can dial them
        self.pods = []
        self.nodes = [Node(self, number) for number in range(1, nodes + 1)]
        self.gateways = [Gateway(self, number) for number in range(1, gateways + 1)]
        self.link = wide.Uplink(self) if self.wide else None

    def __getattr__(self, name):
        if name in ("node", "netns", "cgroup", "dir", "instance", "ip", "ip6", "tunnel", "agent",
                    "directory_file"):
            return getattr(self.nodes[0], name)
        raise AttributeError(name)

    @property
    def own_directory(self):
        """True: its nodes and gateways read a directory file that no other cluster reads."""
        return self.nodes[0].own_directory

    @own_directory.setter
    def own_directory(self, value):
        for place in self.places():
            place.own_directory = value

    def places(self):
        """All that runs a process of ours."""
        return [*self.nodes, *self.gateways]

    def pod(self, name, enrolled=True, node=1):
        """Adds a pod to a node; the n-th has the same addresses in every cluster."""
        pod = Pod(self, name, len(self.pods), enrolled, self.nodes[node - 1])
        self.pods.append(pod)
        pod.node.pods.append(pod)
        return pod

    def entry(self):
        """As the directory has it."""
        entry = {"name": self.name, "nodes": [node.entry() for node in self.nodes]}
        if self.gateways:
            entry["gateways"] = [gateway.entry() for gateway in self.gateways]
        return entry | ({"draining": self.draining} if self.draining else {})
