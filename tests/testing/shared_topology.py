# SPDX-License-Identifier: Apache-2.0
"""Clusters that know of each other only what etcd says, each with a directory file of its own.

    topo = SharedTopology("shared", members=3)
    east, west = (topo.cluster(name, gateways=2) for name in ("east", "west"))
    topo.services_of = lambda cluster: [...]; topo.allow(...)
    topo.up(); topo.share("shop", west); topo.start_agents(); ...; topo.down()
"""
from .etcd import Etcd
from .topology import Topology

VIPS = "10.112.0.0/16"  # of services that are imported


class SharedTopology(Topology):
    """With an etcd that all clusters reach. `services_of(cluster)` are the services of a cluster's
    own file, as the directory has them; what is allowed is so in all files."""

    def __init__(self, name, members=1):
        super().__init__(name)
        self.etcd = Etcd(self, members)
        self.services_of = lambda cluster: []

    def cluster(self, name, nodes=1, gateways=1):
        """One that reads a file of its own."""
        made = super().cluster(name, nodes, gateways)
        made.own_directory = True
        return made

    def write_directory(self, content=None, cluster=None):
        """Every cluster's file, unless `content` is for one: nobody else's nodes, workloads or
        services are in it."""
        if content is not None:
            super().write_directory(content, cluster)
            return
        for one in [cluster] if cluster else self.clusters:
            whole = self.directory()
            super().write_directory(whole | {
                "clusters": [one.entry()], "services": self.services_of(one),
                "workloads": [entry for entry in whole["workloads"] if entry["cluster"] == one.name],
                "imports": {"vips": [VIPS]}}, one)

    def share(self, namespace, *clusters, **config):
        """Once it is up: starts etcd, makes all clusters its members and lets these serve the
        namespace. All agents are told, and `config` as well."""
        self.etcd.prepare()
        self.etcd.start()
        self.etcd.init()
        self.etcd.command("namespace", "grant", namespace, *(cluster.name for cluster in clusters))
        for place in self.places():
            place.agent.config = {"threads": 1, "shared_directory": self.etcd.config(place)} | config
            place.agent.write_config()
