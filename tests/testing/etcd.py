# SPDX-License-Identifier: Apache-2.0
"""One etcd that all clusters of a wide topology reach: the directory that they share.

    directory = Etcd(topo, members=3)      # before topo.up()
    topo.up(); directory.prepare(); directory.start(); directory.init(); ...
    directory.members[0].stop()

Its servers have a certificate of an authority of its own; its clients have SVIDs of the topology's.
"""
import json
import os
import shutil
import signal
import subprocess

from . import host, network, wide
from .topology import TRUST_DOMAIN, program

_PORT, _PEER_PORT = 2379, 2380
_PREFIX = "/tombolo-directory/"
_CLIENT = "/cluster/{}/ns/tombolo-system/sa/directory"


class Member:
    """The `number`-th of etcd's processes, from 1, in the namespace between the clusters. Its data
    outlive it."""

    def __init__(self, etcd, number):
        self._etcd, self.name = etcd, f"member-{number}"
        self.address = f"172.31.250.{number}"
        self.url = f"https://{self.address}:{_PORT}"
        # All members are in one namespace.
        self.peer_url = f"http://127.0.0.1:{_PEER_PORT + number}"
        self.data = f"{etcd.dir}/{self.name}"
        self.log_path = f"{self.data}.log"
        self.process = None

    def launch(self):
        """Starts the process. It answers when most of the members run."""
        etcd = self._etcd
        with open(self.log_path, "ab") as log:
            self.process = host.spawn(
                ["etcd", "--name", self.name, "--data-dir", self.data,
                 "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
                 "--listen-peer-urls", self.peer_url,
                 "--initial-advertise-peer-urls", self.peer_url,
                 "--initial-cluster", etcd.initial_cluster,
                 "--cert-file", f"{etcd.dir}/server.pem", "--key-file", f"{etcd.dir}/server.key",
                 "--client-cert-auth", "--trusted-ca-file", f"{etcd.dir}/clients.pem"],
                etcd.cgroup, etcd.netns, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        etcd.topology.processes.append(self.process)

    def wait_ready(self):
        """Returns when it answers."""
        host.wait_until(f"etcd's {self.name} to answer", self._answers)

    def _answers(self):
        if self.process.poll() is not None:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                raise host.HostError(f"etcd's {self.name} ended: {log.read()[-2000:]}")
        etcd = self._etcd
        done = host.in_netns(etcd.netns, lambda: subprocess.run(
            ["curl", "-s", "--cacert", f"{etcd.dir}/server.pem", "--cert",
             f"{etcd.dir}/admin/svid.pem", "--key", f"{etcd.dir}/admin/key.pem",
             f"{self.url}/health"], capture_output=True, check=False, timeout=10))
        return done.returncode == 0 and json.loads(done.stdout)["health"] == "true"

    def start(self):
        """Returns when it answers, for which most of the members have to run."""
        self.launch()
        self.wait_ready()

    def stop(self):
        """SIGKILL: what it has acknowledged is on disk."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=host.PATIENCE)


class Etcd:
    """Its members, with TLS both ways."""

    def __init__(self, topology, members=1):
        self.topology = topology
        self.dir = f"{topology.dir}/etcd"
        self.cgroup = f"{topology.cgroup}/etcd"
        self.members = [Member(self, number) for number in range(1, members + 1)]
        topology.helpers += self.members

    @property
    def urls(self):
        """Of all members."""
        return [member.url for member in self.members]

    @property
    def initial_cluster(self):
        """As each member is told."""
        return ",".join(f"{member.name}={member.peer_url}" for member in self.members)

    @property
    def netns(self):
        """Where they run."""
        return network.path(wide.wan_router(self.topology))

    def prepare(self):
        """Addresses and certificates: once, when the topology is up."""
        os.makedirs(self.dir)
        os.makedirs(self.cgroup)
        network.batch(wide.wan_router(self.topology),
                      [f"addr add {member.address}/32 dev lo" for member in self.members])
        names = ",".join(f"IP:{member.address}" for member in self.members)
        host.sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-days", "2", "-subj", "/O=etcd", "-addext", f"subjectAltName={names}",
                "-keyout", f"{self.dir}/server.key", "-out", f"{self.dir}/server.pem")
        # Its gateway is a client of its own, with the server's certificate.
        with open(f"{self.dir}/clients.pem", "w", encoding="ascii") as out:
            for path in (f"{self.topology.dir}/ca/root.pem", f"{self.dir}/server.pem"):
                with open(path, encoding="ascii") as pem:
                    out.write(pem.read())
        for name in ("admin", *(cluster.name for cluster in self.topology.clusters)):
            self.topology.issue(f"spiffe://{TRUST_DOMAIN}{_CLIENT.format(name)}",
                                f"{self.dir}/{name}")

    def start(self):
        """All members; returns when they answer."""
        for member in self.members:
            member.launch()
        for member in self.members:
            member.wait_ready()

    def stop(self):
        """All members."""
        for member in self.members:
            member.stop()

    def _access(self, name):
        return {"ca": f"{self.dir}/server.pem", "certificate": f"{self.dir}/{name}/svid.pem",
                "key": f"{self.dir}/{name}/key.pem"}

    def command(self, *arguments):
        """What `tombolo <arguments>` prints, as root of this etcd."""
        options = [f"--{name}={value}" for name, value in self._access("admin").items()]
        return host.in_netns(self.netns, lambda: host.sh(
            program("tombolo"), *arguments, "--endpoints", ",".join(self.urls), *options,
            "--password", f"{self.dir}/root.pw"))

    def ctl(self, *arguments, members=None, cluster=None):
        """What etcd's own `etcdctl <arguments>` prints, as root or with the rights of a cluster, of
        all members unless given."""
        access = self._access(cluster or "admin")
        with open(f"{self.dir}/{cluster or 'root'}.pw", encoding="utf-8") as password:
            user = f"{f'tombolo-cluster-{cluster}' if cluster else 'root'}:{password.read().strip()}"
        return host.in_netns(self.netns, lambda: host.sh(
            "etcdctl", "--endpoints", ",".join(member.url for member in members or self.members),
            "--cacert", access["ca"], "--cert", access["certificate"], "--key", access["key"],
            *arguments, env=os.environ | {"ETCDCTL_API": "3", "ETCDCTL_USER": user}))

    def put(self, key, value, cluster):
        """Writes a key of the directory with a cluster's rights, and no more."""
        self.ctl("put", f"{_PREFIX}{key}", value, cluster=cluster)

    def delete(self, key, cluster):
        """The same, to remove it."""
        self.ctl("del", f"{_PREFIX}{key}", cluster=cluster)

    def get(self, key):
        """The value of a key of the directory, "" if there is none."""
        return self.ctl("get", "--print-value-only", f"{_PREFIX}{key}")

    def revision(self):
        """What its members agree on."""
        status = json.loads(self.ctl("endpoint", "status", "--write-out", "json"))
        return max(entry["Status"]["header"]["revision"] for entry in status)

    def restore(self, snapshot):
        """Puts what `etcdctl snapshot save` has written in the place of every member's data, as
        another cluster with the same addresses. None of them may run."""
        for member in self.members:
            shutil.rmtree(member.data)
            host.sh("etcdctl", "snapshot", "restore", snapshot, "--name", member.name,
                    "--initial-cluster", self.initial_cluster,
                    "--initial-cluster-token", "restored",
                    "--initial-advertise-peer-urls", member.peer_url, "--data-dir", member.data,
                    env=os.environ | {"ETCDCTL_API": "3"})

    def leader(self):
        """The member that leads at the moment."""
        def leading():
            status = json.loads(self.ctl("endpoint", "status", "--write-out", "json"))
            return next((entry["Endpoint"] for entry in status if entry["Status"]["leader"]
                         == entry["Status"]["header"]["member_id"]), None)
        url = host.wait_until("a leader", leading)
        return next(member for member in self.members if member.url == url)

    def init(self):
        """Roles and users for the topology's clusters, whose gateways may be where they are, or
        linked to those of the cluster that nobody else can dial them through."""
        self.command("directory", "init", "--admin-password", f"{self.dir}/admin.pw")
        for cluster in self.topology.clusters:
            self.join(cluster)

    def join(self, cluster, via=None):
        """Makes it a member; `via` in place of the cluster's own."""
        via = cluster.via if via is None else via
        where = ["--via", via] if via else ["--gateways", f"172.31.{cluster.index}.0/24"]
        self.command("cluster", "join", cluster.name, *where, "--credentials",
                     f"{self.dir}/{cluster.name}.pw")

    def config(self, place):
        """The key `shared_directory` of the agent.yaml of a node or gateway."""
        name = place.cluster.name
        return {"endpoints": self.urls, "user": f"tombolo-cluster-{name}",
                "password": f"{self.dir}/{name}.pw", "state": f"{place.dir}/shared",
                **self._access(name)}
