# SPDX-License-Identifier: Apache-2.0
"""One etcd that all clusters of a wide topology reach: the directory that they share.

    directory = Etcd(topo)          # before topo.up()
    topo.up(); directory.start(); directory.command("directory", "init", ...)

Its server has a certificate of an authority of its own; its clients have SVIDs of the topology's.
"""
import os
import signal
import subprocess

from . import host, network, wide
from .topology import TRUST_DOMAIN, program

ADDRESS = "172.31.250.1"
_PORT = 2379
_CLIENT = "/cluster/{}/ns/tombolo-system/sa/directory"


class Etcd:
    """A member in the namespace between the clusters, with TLS both ways. Its data outlive it."""

    def __init__(self, topology):
        self.topology = topology
        self.dir = f"{topology.dir}/etcd"
        self.url = f"https://{ADDRESS}:{_PORT}"
        self._cgroup = f"{topology.cgroup}/etcd"
        self.process = None
        topology.helpers.append(self)

    @property
    def _netns(self):
        return network.path(wide.wan_router(self.topology))

    def prepare(self):
        """Its address and certificates: once, when the topology is up."""
        os.makedirs(self.dir)
        os.makedirs(self._cgroup)
        network.batch(wide.wan_router(self.topology), [f"addr add {ADDRESS}/32 dev lo"])
        host.sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-days", "2", "-subj", "/O=etcd", "-addext",
                f"subjectAltName=IP:{ADDRESS}", "-keyout", f"{self.dir}/server.key",
                "-out", f"{self.dir}/server.pem")
        # Its gateway is a client of its own, with the server's certificate.
        with open(f"{self.dir}/clients.pem", "w", encoding="ascii") as out:
            for path in (f"{self.topology.dir}/ca/root.pem", f"{self.dir}/server.pem"):
                with open(path, encoding="ascii") as pem:
                    out.write(pem.read())
        for name in ("admin", *(cluster.name for cluster in self.topology.clusters)):
            self.topology.issue(f"spiffe://{TRUST_DOMAIN}{_CLIENT.format(name)}",
                                f"{self.dir}/{name}")

    def start(self):
        """Returns when it answers."""
        with open(f"{self.dir}/etcd.log", "ab") as log:
            self.process = host.spawn(
                ["etcd", "--data-dir", f"{self.dir}/data", "--listen-client-urls", self.url,
                 "--advertise-client-urls", self.url, "--listen-peer-urls", "http://127.0.0.1:2380",
                 "--cert-file", f"{self.dir}/server.pem", "--key-file", f"{self.dir}/server.key",
                 "--client-cert-auth", "--trusted-ca-file", f"{self.dir}/clients.pem"],
                self._cgroup, self._netns, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        self.topology.processes.append(self.process)
        host.wait_until("etcd to answer", self._answers)

    def _answers(self):
        if self.process.poll() is not None:
            with open(f"{self.dir}/etcd.log", encoding="utf-8", errors="replace") as log:
                raise host.HostError(f"etcd ended: {log.read()[-2000:]}")
        return host.in_netns(self._netns, lambda: subprocess.run(
            ["curl", "-s", "--cacert", f"{self.dir}/server.pem", "--cert",
             f"{self.dir}/admin/svid.pem", "--key", f"{self.dir}/admin/key.pem",
             f"{self.url}/version"], capture_output=True, check=False, timeout=10).returncode == 0)

    def stop(self):
        """SIGKILL: what it has acknowledged is on disk."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=host.PATIENCE)

    def _access(self, name):
        return {"ca": f"{self.dir}/server.pem", "certificate": f"{self.dir}/{name}/svid.pem",
                "key": f"{self.dir}/{name}/key.pem"}

    def command(self, *arguments):
        """What `tombolo <arguments>` prints, as root of this etcd."""
        options = [f"--{name}={value}" for name, value in self._access("admin").items()]
        return host.in_netns(self._netns, lambda: host.sh(
            program("tombolo"), *arguments, "--endpoints", self.url, *options, "--password",
            f"{self.dir}/root.pw"))

    def init(self):
        """Roles and users for the topology's clusters, whose gateways may be where they are."""
        self.command("directory", "init", "--admin-password", f"{self.dir}/admin.pw")
        for cluster in self.topology.clusters:
            self.command("cluster", "join", cluster.name, "--gateways",
                         f"172.31.{cluster.index}.0/24", "--credentials",
                         f"{self.dir}/{cluster.name}.pw")

    def config(self, place):
        """The key `shared_directory` of the agent.yaml of a node or gateway."""
        name = place.cluster.name
        return {"endpoints": [self.url], "user": f"tombolo-cluster-{name}",
                "password": f"{self.dir}/{name}.pw", "state": f"{place.dir}/shared",
                **self._access(name)}
