# SPDX-License-Identifier: Apache-2.0
"""One tombolo-agent of a topology: its files, its process, what it says about itself."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess

from . import host, network
from .yaml_text import to_yaml

_SANITIZER = re.compile(r"(ERROR|WARNING): \w+Sanitizer|runtime error:|SUMMARY: \w+Sanitizer")


def merge(base, changes):
    """Changes win, key by key."""
    merged = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if nested else value
    return merged


class Agent:
    """The agent of one node. `config` holds what differs from the defaults.

    `name` is of its files and its cgroup, which is made with the topology's. A cluster of one node
    will do as the place."""

    def __init__(self, place, name="agent", admin_port=15020):
        self.place, self.cluster = place, place.cluster
        self.config = {}
        self.process = None
        self.env = {}
        self.expect_death = False  # a test killed it on purpose
        self.cgroup = f"{place.cgroup}/{name}"
        self.log_path = f"{place.dir}/{name}.log"
        self.socket = f"{place.dir}/{name}.sock"
        self.config_path = f"{place.dir}/{name}.yaml"
        self.admin_port = admin_port
        self.instance = place.instance

    def svid_dir(self, pod):
        """Where the agent looks for a workload's SVID."""
        return f"{self.place.dir}/svids/{pod.namespace}/{pod.service_account}"

    def base_config(self):
        """agent.yaml: what a person would write."""
        node = self.place
        authority = node.topology.authority
        return {
            "cluster": node.cluster.name, "node": node.node, "instance": self.instance,
            "directory": os.path.relpath(node.directory_file, node.dir),
            "identity": authority.identity(node.cluster) if authority else
            {"svids": "svids", "bundle": "bundle.pem"},
            "capture": {"cgroup": node.cgroup.removeprefix(host.cgroup2_mount())},
            "tunnel": {"listen": node.tunnel},
            "admin": {"socket": self.socket, "listen": f"127.0.0.1:{self.admin_port}"},
        }

    def write_config(self, extra=""):
        """agent.yaml with the test's changes on top and `extra` text behind. Replaced in one step,
        so that a running agent never reads half of it."""
        text = to_yaml(merge(self.base_config(), self.config)) + extra
        with open(self.config_path + ".new", "w", encoding="utf-8") as out:
            out.write(text)
        os.rename(self.config_path + ".new", self.config_path)

    def start(self):
        """Starts the process in the node's namespace and the agent's own cgroup."""
        from .topology import program  # pylint: disable=import-outside-toplevel,cyclic-import
        self.expect_death = False
        with open(self.log_path, "ab") as log:
            self.process = host.spawn(
                [program("tombolo-agent"), "--config", self.config_path],
                self.cgroup, network.path(self.place.netns),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, env=os.environ | self.env)
        self.place.topology.processes.append(self.process)

    def wait_ready(self, seconds=60):
        """Waits for `ready`, and shows the log when that does not come."""
        def ready():
            if self.process.poll() is not None:
                raise host.HostError(f"{self.instance} ended with {self.process.returncode}")
            return self.status_or_none().get("ready")
        try:
            host.wait_until(f"{self.instance} to be ready", ready, seconds)
        except host.HostError as error:
            reasons = self.status_or_none().get("not_ready", "no answer")
            raise host.HostError(f"{error}; not ready: {reasons}\n{self.log_tail()}") from error

    def restart(self):
        """SIGTERM, then a new process."""
        self.stop()
        self.start()
        self.wait_ready()

    def stop(self, seconds=90):
        """SIGTERM and wait: the exit code is the caller's to judge."""
        self.expect_death = True
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)

    def kill(self):
        """SIGKILL: nothing of the agent gets to clean up."""
        self.expect_death = True
        self.process.kill()
        self.process.wait(timeout=host.PATIENCE)

    @property
    def pid(self):
        """The agent's own: sh and nsenter have replaced themselves."""
        return self.process.pid

    def cli(self, *words):
        """What `tombolo <words>` prints, as an object."""
        from .topology import program  # pylint: disable=import-outside-toplevel,cyclic-import
        return json.loads(host.sh(program("tombolo"), "--socket", self.socket, *words,
                                  "--output", "json"))

    def status_or_none(self):
        """The status, or {} while nobody answers."""
        try:
            return self.cli("status")
        except (host.HostError, json.JSONDecodeError):
            return {}

    def connections(self, pod=None):
        """The connections that it dials or has accepted, or those of one client."""
        return [entry for entry in self.cli("connections")["connections"]
                if pod is None or entry["source_id"] == pod.id]

    def wait_open(self, count=1, to_peer=0, from_peer=0):
        """Waits until exactly so many connections are relayed, and so many bytes of each are
        delivered: sent into the tunnel, or written to the socket here."""
        def good(entry):
            return entry["state"] == "open" and entry["bytes_to_peer"] >= to_peer \
                and entry["bytes_from_peer"] >= from_peer

        def relayed():
            found = self.connections()
            return len(found) == count and all(good(entry) for entry in found)
        host.wait_until(f"{self.instance} to relay {count} connections", relayed)

    def wait_no_connections(self):
        """Waits until the last connection has ended, and its tunnel is back in the pool."""
        host.wait_until(f"{self.instance} to have no connections",
                        lambda: not self.connections())

    def http(self, path):
        """(status, text) of the agent's TCP admin listener, inside the node's namespace."""
        sock = host.in_netns(network.path(self.place.netns),
                             lambda: socket.create_connection(("127.0.0.1", self.admin_port),
                                                              timeout=host.PATIENCE))
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port)
        connection.sock = sock
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metrics(self):
        """Samples of /metrics: 'name{labels}' to value."""
        lines = self.http("/metrics")[1].splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
                for line in lines if line and not line.startswith("#")}

    def log(self):
        """Everything it has logged since the topology came up."""
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as lines:
                return lines.read()
        except FileNotFoundError:
            return ""

    def log_tail(self, lines=40):
        """The end of the log, for messages."""
        return f"--- {self.instance} log ---\n" + "\n".join(self.log().splitlines()[-lines:])

    def descriptors(self):
        """How many descriptors the process has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def complaints(self, start=0):
        """Why a test must fail although its own checks held: death, a sanitizer's report
        after `start` characters of the log."""
        found = [line for line in self.log()[start:].splitlines() if _SANITIZER.search(line)]
        if self.process and self.process.poll() is not None and not self.expect_death:
            found.append(f"{self.instance} ended by itself with {self.process.returncode}")
        return found
