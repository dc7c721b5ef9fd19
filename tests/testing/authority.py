# SPDX-License-Identifier: Apache-2.0
"""A topology's own certificate authority: a running tombolo-ca that the agents join by token."""
import os
import signal
import subprocess

from . import est, host, network
from .service_accounts import ISSUER, ServiceAccounts
from .yaml_text import to_yaml

PORT = 8443


class Authority:
    """Set as `topology.authority` before up(): the agents then have no SVIDs as files.

    It runs in the first cluster's node namespace, in a cgroup of its own. Nodes of the clusters
    in `kubernetes` show a service account token instead of a join token.
    """

    def __init__(self, topology, trust_domain, program, ttl="10m", kubernetes=()):
        self.topology, self.trust_domain, self.ttl = topology, trust_domain, ttl
        self._kubernetes = kubernetes
        self._program = program
        self.dir = f"{topology.dir}/authority"
        self.cgroup = f"{topology.cgroup}/authority"
        self.log_path = f"{self.dir}/ca.log"
        self.process = None

    def prepare(self):
        """Its trust domain, each cluster's authority, and a token for each node."""
        os.makedirs(self.cgroup)
        os.makedirs(self.dir)
        host.sh(self._program, "init", "--trust-domain", self.trust_domain, "--dir", self.dir)
        self._write_config()
        for cluster in self.topology.clusters:
            add = self._add_kubernetes if cluster.name in self._kubernetes else self._add
            with open(self._token_file(cluster), "w", encoding="ascii") as out:
                out.write(add(cluster))

    def _add(self, cluster):
        """A token for its node to join with."""
        self.command("cluster", "add", cluster.name)
        return self.command("token", "add", f"spiffe://{self.trust_domain}/cluster/{cluster.name}"
                            f"/node/{cluster.node}")

    def _add_kubernetes(self, cluster):
        """The token of the agent's pod there."""
        accounts = ServiceAccounts(f"{self.dir}/{cluster.name}-accounts.key")
        keys = f"{self.dir}/{cluster.name}-jwks.json"
        with open(keys, "w", encoding="ascii") as out:
            out.write(accounts.jwks())
        self.command("cluster", "add", cluster.name, "--issuer", ISSUER, "--jwks", keys,
                     "--agent-account", "tombolo/agent")
        return accounts.token("agent", cluster.node, namespace="tombolo")

    @staticmethod
    def _token_file(cluster):
        return f"{cluster.dir}/token"

    def token(self, cluster):
        """What the cluster's node was given to join with."""
        with open(self._token_file(cluster), encoding="ascii") as text:
            return text.read().strip()

    def _write_config(self):
        with open(f"{self.dir}/ca.yaml", "w", encoding="ascii") as out:
            out.write(to_yaml({
                "trust_domain": self.trust_domain, "store": {"sqlite": "ca.db"}, "keys": ".",
                "serve": {"listen": f"{self._address}:{PORT}", "names": [self._address]},
                "admin": {"listen": ""}, "ttl": self.ttl,
                "directories": [cluster.directory_file for cluster in self.topology.clusters],
            }))

    def command(self, *arguments):
        """What `tombolo-ca <arguments>` prints."""
        return host.sh(self._program, *arguments, "--config", f"{self.dir}/ca.yaml")

    def enrol(self, cluster, spiffe_id, *credential):
        """(status, text) that a curl on the cluster's node is answered when it asks for an SVID;
        `credential` is what curl shows."""
        body = est.request(f"URI:{spiffe_id}")
        return host.in_netns(network.path(cluster.netns),
                             lambda: est.enrol(self.url, body, *credential))

    @property
    def _address(self):
        return self.topology.clusters[0].ip

    @property
    def url(self):
        """Where it answers."""
        return f"https://{self._address}:{PORT}"

    def identity(self, cluster):
        """The key `identity` of a cluster's agent.yaml."""
        kind = "service_account_token" if cluster.name in self._kubernetes else "join_token"
        return {"authority": {
            "urls": [self.url],
            "trust_domain": self.trust_domain, "trust": f"{self.dir}/root.pem",
            kind: self._token_file(cluster), "state": f"{cluster.dir}/state"}}

    def gateway_identity(self, gateway, spiffe_id):
        """The same of a gateway, which has a token of its own."""
        token = f"{gateway.dir}/token"
        with open(token, "w", encoding="ascii") as out:
            out.write(self.command("token", "add", spiffe_id))
        return {"authority": {
            "urls": [self.url], "trust_domain": self.trust_domain,
            "trust": f"{self.dir}/root.pem", "join_token": token, "state": f"{gateway.dir}/state"}}

    def start(self):
        """Starts it; agents find out for themselves."""
        with open(self.log_path, "ab") as log:
            self.process = host.spawn(
                [self._program, "serve", "--config", f"{self.dir}/ca.yaml", "--min-ttl", "1s"],
                self.cgroup, network.path(self.topology.clusters[0].netns),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True)
        self.topology.processes.append(self.process)

    def stop(self):
        """SIGTERM and wait."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=host.PATIENCE)

    def log(self):
        """Everything it has said."""
        with open(self.log_path, encoding="utf-8", errors="replace") as lines:
            return lines.read()
