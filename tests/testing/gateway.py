# SPDX-License-Identifier: Apache-2.0
"""A gateway of a cluster: a tombolo-agent in that role, in the namespace of the cluster's node.

    gateway = Gateway(west, "west-gw-1")
    topo.up(); topo.start_agents(); gateway.begin(); ...; gateway.stop()

It listens on the node's address, so whoever can dial the node can dial it. The directory names it
by entry().
"""
import os

from .agent import Agent

PORT = 15443
LEAST_SPARES = 4  # of a link that is not used
_ADMIN_PORT = 15030


class Gateway(Agent):
    """The number-th gateway of a node's namespace. `config` holds what differs from the defaults,
    `directory` is the file it reads: its cluster's unless given."""

    def __init__(self, cluster, name, number=0, zone=""):
        super().__init__(cluster, name, _ADMIN_PORT + number)
        self.name, self.zone = name, zone
        self.host, self.port = cluster.ip, PORT + number
        self.address = f"{self.host}:{self.port}"
        self.instance = f"{cluster.topology.name}-{name}"
        self.directory = None
        self.links = []  # clusters
        self.identity = None  # as in the file

    def entry(self):
        """As the directory has it, below its cluster's `gateways`."""
        return {"name": self.name, "address": self.address} | (
            {"zone": self.zone} if self.zone else {})

    def base_config(self):
        return {
            "role": "gateway", "cluster": self.cluster.name, "node": self.name,
            "instance": self.instance, "gateway": {"listen": self.address},
            "directory": self.directory or self.cluster.directory_file,
            "admin": {"socket": self.socket, "listen": f"127.0.0.1:{self.admin_port}"}
        } | ({"identity": self.identity} if self.identity else {}) | (
            {"links": [{"cluster": cluster} for cluster in self.links]} if self.links else {})

    def begin(self, ready=True):
        """Makes what it needs, starts it and waits until it is ready, if it is to become that."""
        os.makedirs(self.cgroup, exist_ok=True)
        self.write_config()
        self.start()
        if ready:
            self.wait_ready()

    def refused(self, reason):
        """How many connections it has refused for a reason."""
        return self.metrics()[f'tombolo_gateway_refused_total{{reason="{reason}"}}']

    def links_with(self, cluster):
        """What it knows of its links with a cluster's gateways, whoever has dialled."""
        return [link for link in self.status_or_none().get("gateway", {}).get("links", [])
                if link["cluster"] == cluster]

    def has_links(self, cluster, count):
        """Whether so many links with a cluster are up, with the spares that are kept without use."""
        return len([link for link in self.links_with(cluster)
                    if link.get("spares", 0) >= LEAST_SPARES]) == count

    def tunnels(self):
        """Those that it carries at the moment."""
        return self.cli("tunnels")["tunnels"]

    def nodes(self):
        """What it knows of each node, by name."""
        return {node["name"]: node for node in self.cli("status")["gateway"]["nodes"]}
