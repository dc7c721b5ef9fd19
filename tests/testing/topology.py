# SPDX-License-Identifier: Apache-2.0
"""Clusters on one machine, for quickstart, the netns tests and the benchmarks.

A cluster is a node namespace with its own agent, and pods: a network namespace and a cgroup
each. Pods have the same addresses in every cluster and reach only their own node; the node
namespaces are joined by routed links and know no route to another cluster's pods. Clusters may
have several nodes, and gateways: then nodes have the same names and addresses in every cluster,
too, and nothing but the gateways can be dialled from another one (wide.py).

    topo = Topology("relay")
    curl = topo.cluster("east").pod("curl")
    web = topo.cluster("west").pod("web")
    service = topo.service("shop/web", 80, [Endpoint(web, 8080)])
    topo.allow(curl, "shop/web")
    topo.up(); topo.start_agents(); ...; topo.down()

Everything made is named after the topology, so that down(name) can remove it after a crash.
"""
import glob
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field

from . import host, network, wide
from .authority import Authority
from .cluster import TRUST_DOMAIN, TUNNEL_PORT, Cluster, Pod  # pylint: disable=unused-import
from .yaml_text import to_yaml

STATE = "/run/tombolo-topology"


def program(name):
    """A built program: TOMBOLO_BIN says from which build tree."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    directory = os.environ.get("TOMBOLO_BIN", os.path.join(root, "build/dev/bin"))
    path = os.path.join(directory, name)
    if not os.access(path, os.X_OK):
        raise host.HostError(f"{path} is not built: run tools/build, or set TOMBOLO_BIN")
    return path


@dataclass
class Endpoint:
    """One address behind a service; the pod's own address unless given."""
    pod: Pod
    port: int
    address: str = ""
    ready: bool = True
    weight: int = 1

    def entry(self):
        """As the directory has it."""
        address = self.address or self.pod.ip
        shown = f"[{address}]" if ":" in address else address
        return {"workload": self.pod.workload, "address": f"{shown}:{self.port}",
                "ready": self.ready, "weight": self.weight}


@dataclass
class Service:
    """A service with one VIP of each family."""
    name: str
    vip: str
    vip6: str
    ports: dict = field(default_factory=dict)  # port -> [Endpoint]
    balancing: dict = field(default_factory=dict)  # as the directory has it
    proxy_protocol: str = ""  # of every port

    def entry(self):
        """As the directory has it."""
        more = {"proxy_protocol": self.proxy_protocol} if self.proxy_protocol else {}
        ports = [{"port": port, "endpoints": [endpoint.entry() for endpoint in endpoints]} | more
                 for port, endpoints in self.ports.items()]
        return {"name": self.name, "vips": [self.vip, self.vip6], "ports": ports} | (
            {"balancing": self.balancing} if self.balancing else {})


class Topology:
    """Builds everything named after it; a context manager that also tears it down."""

    def __init__(self, name, description=""):
        if not re.fullmatch(r"[a-z0-9]{1,16}", name):
            raise ValueError(f"topology name {name!r}: [a-z0-9]{{1,16}} only, for its names nest")
        self.name, self.description = name, description
        self.dir = f"{STATE}/{name}"
        self.cgroup = f"{host.cgroup2_mount()}/tombolo-{name}"
        self.clusters, self.services, self.rules, self.processes = [], [], [], []
        self.extra_workloads = []  # entries that no pod stands behind
        self.authority = None  # set by use_authority()
        self.helpers = []  # what else runs for as long as the topology, each with a `process`
        self._lock = None

    def cluster(self, name, nodes=1, gateways=0):
        """Adds a cluster. Either all have one node and no gateways, or all have gateways."""
        self.clusters.append(Cluster(self, name, len(self.clusters), nodes, gateways))
        return self.clusters[-1]

    def nodes(self):
        """Of all clusters."""
        return [node for cluster in self.clusters for node in cluster.nodes]

    def places(self):
        """The nodes, and the gateways."""
        return [place for cluster in self.clusters for place in cluster.places()]

    def runners(self):
        """The processes of all of them: agents and gateways."""
        return [place.agent for place in self.places()]

    def service(self, name, port, endpoints):
        """Adds a service with the next VIPs, 10.96.0.10 and fd00:96::10 first."""
        number = 10 + len(self.services)
        made = Service(name, f"10.96.0.{number}", f"fd00:96::{number}", {port: list(endpoints)})
        self.services.append(made)
        return made

    def allow(self, pod, service, ports=None):
        """Lets a pod (or a SPIFFE ID, or a prefix of one) connect to a service."""
        rule = {"from": getattr(pod, "id", pod), "to": service}
        self.rules.append(rule | ({"ports": ports} if ports else {}))

    def use_authority(self, **options):
        """Lets the agents join a running authority instead of giving them SVIDs as files."""
        self.authority = Authority(self, TRUST_DOMAIN, program("tombolo-ca"), **options)
        return self.authority

    def directory(self):
        """The directory's content; tests may edit it before write_directory()."""
        clusters = [cluster.entry() for cluster in self.clusters]
        workloads = [self._workload(pod) for cluster in self.clusters for pod in cluster.pods
                     if pod.enrolled]
        return {"trust_domain": TRUST_DOMAIN, "clusters": clusters,
                "workloads": workloads + self.extra_workloads,
                "services": [service.entry() for service in self.services],
                "allow": self.rules}

    def _workload(self, pod):
        return {"name": pod.workload, "cluster": pod.cluster.name, "node": pod.node.node,
                "namespace": pod.namespace, "service_account": pod.service_account,
                "cgroup": pod.cgroup.removeprefix(host.cgroup2_mount()),
                "netns": network.path(pod.netns)}

    def write_directory(self, content=None, cluster=None):
        """Replaces the directory (of one cluster) in one step, as an editor should.

        `content` is the file's text or what directory() returns.
        """
        content = self.directory() if content is None else content
        text = content if isinstance(content, str) else to_yaml(content)
        places = cluster.places() if cluster else self.places()
        for path in {place.directory_file for place in places}:
            with open(path + ".new", "w", encoding="utf-8") as out:
                out.write(text)
            os.rename(path + ".new", path)

    def up(self):
        """Makes namespaces, cgroups, files and SVIDs; removes a crashed run's first."""
        host.prepare()
        self._lock = host.lock_directory(self.dir)
        down(self.name, keep_state_directory=True)
        for place in self.places():
            os.makedirs(place.agent.cgroup)
            os.makedirs(place.dir)
        for cluster in self.clusters:
            for pod in cluster.pods:
                os.makedirs(pod.cgroup)
        network.build(self.clusters)
        if any(cluster.wide for cluster in self.clusters):
            if not all(cluster.wide for cluster in self.clusters):
                raise ValueError("a cluster of one node and no gateways cannot be among others")
            wide.build(self)
        else:
            network.join(self.clusters)
        if self.authority:
            self.authority.prepare()
        else:
            self._issue_svids()
        self._join_links()
        self.write_directory()
        for runner in self.runners():
            runner.write_config()

    def _issue_svids(self):
        if not any(pod.enrolled for cluster in self.clusters for pod in cluster.pods):
            return
        ca = f"{self.dir}/ca"
        host.sh(program("tombolo-ca"), "init", "--trust-domain", TRUST_DOMAIN, "--dir", ca)
        for node in self.nodes():
            shutil.copy(f"{ca}/root.pem", f"{node.dir}/bundle.pem")
            for pod in node.pods:
                if pod.enrolled:
                    self.issue(pod.id, node.agent.svid_dir(pod))

    def _join_links(self):
        """What gateways need for links: an identity, and to be told which."""
        linked = {cluster.via for cluster in self.clusters if cluster.via}
        for cluster in self.clusters:
            if not cluster.via and cluster.name not in linked:
                continue
            for gateway in cluster.gateways:
                gateway.agent.links = [cluster.via] if cluster.via else []
                gateway.agent.identity = self._gateway_identity(gateway)

    def _gateway_identity(self, gateway):
        spiffe_id = (f"spiffe://{TRUST_DOMAIN}/cluster/{gateway.cluster.name}"
                     f"/gateway/{gateway.agent.name}")
        if self.authority:
            return self.authority.gateway_identity(gateway, spiffe_id)
        self.issue(spiffe_id, f"{gateway.dir}/own")
        shutil.copy(f"{self.dir}/ca/root.pem", f"{gateway.dir}/bundle.pem")
        return {"svid": "own", "bundle": "bundle.pem"}

    def issue(self, spiffe_id, directory):
        """An SVID of this topology's authority, as svid.pem and key.pem in `directory`."""
        os.makedirs(directory, exist_ok=True)
        host.sh(program("tombolo-ca"), "issue", "--dir", f"{self.dir}/ca", "--spiffe-id",
                spiffe_id, "--ttl", "24h", "--out", directory)

    def start_agents(self):
        """Starts every node's agent and every gateway, and waits until all are ready."""
        if self.authority:
            self.authority.start()
        for runner in self.runners():
            runner.start()
        for runner in self.runners():
            runner.wait_ready()

    def down(self):
        """Removes every trace, unless another run has the name."""
        if self._lock is not None:
            down(self.name)
        for process in self.processes:
            process.wait(timeout=host.PATIENCE)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_):
        self.down()


def down(name, keep_state_directory=False):
    """Removes every trace of a topology, from nothing but its name.

    The state directory itself is the lock between runs: whoever holds it keeps it.
    """
    cgroup = f"{host.cgroup2_mount()}/tombolo-{name}"
    if os.path.isdir(cgroup):
        host.kill_cgroup(cgroup)
    # Unlinking a pinned link detaches its program.
    for pins in glob.glob(f"{host.BPFFS}/tombolo/{name}-*"):
        shutil.rmtree(pins)
    host.rmdir_if_empty(f"{host.BPFFS}/tombolo")
    network.remove(f"tb-{name}-")
    host.remove_cgroup(cgroup)
    for entry in glob.glob(f"{STATE}/{name}/*"):
        shutil.rmtree(entry) if os.path.isdir(entry) else os.unlink(entry)
    if not keep_state_directory:
        host.rmdir_if_empty(f"{STATE}/{name}")
        host.rmdir_if_empty(STATE)
