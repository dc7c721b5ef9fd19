# SPDX-License-Identifier: Apache-2.0
"""Clusters on one machine, for quickstart, the netns tests and the benchmarks.

A cluster is a node namespace with its own agent, and pods: a network namespace and a cgroup
each. Pods have the same addresses in every cluster and reach only their own node; the node
namespaces are joined by routed links and know no route to another cluster's pods.

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

from . import host, network
from .agent import Agent
from .authority import Authority
from .yaml_text import to_yaml

STATE = "/run/tombolo-topology"
TRUST_DOMAIN = "tombolo.example"
TUNNEL_PORT = 15008


def program(name):
    """A built program: TOMBOLO_BIN says from which build tree."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    directory = os.environ.get("TOMBOLO_BIN", os.path.join(root, "build/dev/bin"))
    path = os.path.join(directory, name)
    if not os.access(path, os.X_OK):
        raise host.HostError(f"{path} is not built: run tools/build, or set TOMBOLO_BIN")
    return path


class Pod:
    """A workload's network namespace and cgroup; enrolled means: named in the directory."""

    def __init__(self, cluster, name, index, enrolled):
        self.cluster, self.name, self.enrolled = cluster, name, enrolled
        self.namespace, self.service_account = "shop", name
        self.ip, self.ip6 = f"10.0.0.{10 + index}", f"fd00:10::{10 + index}"
        self.netns = f"tb-{cluster.topology.name}-{cluster.name}-{name}"
        self.cgroup = f"{cluster.cgroup}/{name}"

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


class Cluster:
    """One node namespace with an agent, and its pods."""

    def __init__(self, topology, name, index):
        self.topology, self.name, self.index = topology, name, index
        self.node = f"{name}-1"
        self.netns = f"tb-{topology.name}-{name}"
        self.cgroup = f"{topology.cgroup}/{name}"
        self.dir = f"{topology.dir}/{name}"
        self.pods = []
        self.own_directory = False  # True: a directory file that no other cluster reads
        # On the link with the first cluster; routes make them reachable over the others too.
        self.ip, self.ip6 = network.link_address(max(index - 1, 0), 1 if index == 0 else 2)
        self.tunnel = f"{self.ip}:{TUNNEL_PORT}"
        self.agent = Agent(self)

    def pod(self, name, enrolled=True):
        """Adds a pod; the n-th has the same addresses in every cluster."""
        pod = Pod(self, name, len(self.pods), enrolled)
        self.pods.append(pod)
        return pod

    @property
    def directory_file(self):
        """The directory that this cluster's agent reads."""
        return f"{self.dir if self.own_directory else self.topology.dir}/directory.yaml"


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

    def entry(self):
        """As the directory has it."""
        ports = [{"port": port, "endpoints": [endpoint.entry() for endpoint in endpoints]}
                 for port, endpoints in self.ports.items()]
        return {"name": self.name, "vips": [self.vip, self.vip6], "ports": ports}


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
        self._lock = None

    def cluster(self, name):
        """Adds a cluster."""
        self.clusters.append(Cluster(self, name, len(self.clusters)))
        return self.clusters[-1]

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
        clusters = [{"name": cluster.name, "nodes": [{"name": cluster.node,
                                                      "tunnel": cluster.tunnel}]}
                    for cluster in self.clusters]
        workloads = [self._workload(pod) for cluster in self.clusters for pod in cluster.pods
                     if pod.enrolled]
        return {"trust_domain": TRUST_DOMAIN, "clusters": clusters,
                "workloads": workloads + self.extra_workloads,
                "services": [service.entry() for service in self.services],
                "allow": self.rules}

    def _workload(self, pod):
        return {"name": pod.workload, "cluster": pod.cluster.name, "node": pod.cluster.node,
                "namespace": pod.namespace, "service_account": pod.service_account,
                "cgroup": pod.cgroup.removeprefix(host.cgroup2_mount()),
                "netns": network.path(pod.netns)}

    def write_directory(self, content=None, cluster=None):
        """Replaces the directory (of one cluster) in one step, as an editor should.

        `content` is the file's text or what directory() returns.
        """
        content = self.directory() if content is None else content
        text = content if isinstance(content, str) else to_yaml(content)
        for path in {c.directory_file for c in ([cluster] if cluster else self.clusters)}:
            with open(path + ".new", "w", encoding="utf-8") as out:
                out.write(text)
            os.rename(path + ".new", path)

    def up(self):
        """Makes namespaces, cgroups, files and SVIDs; removes a crashed run's first."""
        host.prepare()
        self._lock = host.lock_directory(self.dir)
        down(self.name, keep_state_directory=True)
        for cluster in self.clusters:
            os.makedirs(f"{cluster.cgroup}/agent")
            for pod in cluster.pods:
                os.makedirs(pod.cgroup)
            os.makedirs(cluster.dir)
        network.build(self.clusters)
        if self.authority:
            self.authority.prepare()
        else:
            self._issue_svids()
        self.write_directory()
        for cluster in self.clusters:
            cluster.agent.write_config()

    def _issue_svids(self):
        if not any(pod.enrolled for cluster in self.clusters for pod in cluster.pods):
            return
        ca = f"{self.dir}/ca"
        host.sh(program("tombolo-ca"), "init", "--trust-domain", TRUST_DOMAIN, "--dir", ca)
        for cluster in self.clusters:
            shutil.copy(f"{ca}/root.pem", f"{cluster.dir}/bundle.pem")
            for pod in cluster.pods:
                if pod.enrolled:
                    self.issue(pod.id, cluster.agent.svid_dir(pod))

    def issue(self, spiffe_id, directory):
        """An SVID of this topology's authority, as svid.pem and key.pem in `directory`."""
        os.makedirs(directory, exist_ok=True)
        host.sh(program("tombolo-ca"), "issue", "--dir", f"{self.dir}/ca", "--spiffe-id",
                spiffe_id, "--ttl", "24h", "--out", directory)

    def start_agents(self):
        """Starts every cluster's agent and waits until all are ready."""
        if self.authority:
            self.authority.start()
        for cluster in self.clusters:
            cluster.agent.start()
        for cluster in self.clusters:
            cluster.agent.wait_ready()

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
