#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What does it cost to go through the agents? Direct TCP beside the same load through a VIP.

Two clusters on this machine; run it as tools/bench. See bench/README.md for what is compared.
Prints one table and writes every sample to a JSON file.
"""
import argparse
import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(HERE)
sys.path[:0] = [os.path.join(REPO, "tests"), HERE]

import report  # noqa: E402  pylint: disable=wrong-import-position
from testing import host, network, topology  # noqa: E402  pylint: disable=wrong-import-position

SKIPPED = 77  # ctest's SKIP_RETURN_CODE
PORTS = {"sink": 8001, "source": 8002, "echo": 8003}
# Beside the pods' own addresses, which no other cluster has a route to.
DIRECT_CLIENT, DIRECT_SERVER = "10.1.0.1", "10.1.0.2"
PATHS = ("direct", "agents")


@dataclass(frozen=True)
class Row:
    """One question: a client's mode, and the server that it needs."""
    name: str
    mode: str
    server: str
    connections: int
    size: int = 0

    @property
    def arguments(self):
        """The client's, without address and time."""
        size = ["--size", str(self.size)] if self.size else []
        return ["--mode", self.mode, "--connections", str(self.connections), *size]


ROWS = (
    Row("upload, 1 stream", "upload", "sink", 1),
    Row("upload, 8 streams", "upload", "sink", 8),
    Row("download, 1 stream", "download", "source", 1),
    Row("download, 8 streams", "download", "source", 8),
    Row("requests of 64 B, 1 connection", "requests", "echo", 1, 64),
    Row("requests of 64 B, 32 connections", "requests", "echo", 32, 64),
    Row("requests of 16 KiB, 1 connection", "requests", "echo", 1, 16384),
    Row("new connections, 16 clients", "connects", "echo", 16, 64),
)


class World:
    """A client pod in east, a server pod in west, both reachable both ways."""

    def __init__(self):
        self.topo = topo = topology.Topology("bench")
        self.east, self.west = topo.cluster("east"), topo.cluster("west")
        self.client, self.server = self.east.pod("client"), self.west.pod("server")
        self.service = topo.service("shop/server", PORTS["sink"], [])
        self.service.ports = {port: [topology.Endpoint(self.server, port)]
                              for port in PORTS.values()}
        topo.allow(self.client, "shop/server")
        self.agents = [cluster.agent for cluster in topo.clusters]

    def up(self):
        """Everything runs and is warm when this returns."""
        self.topo.up()
        self._route_directly()
        for pod in (self.client, self.server):
            _tune(pod)
        for mode, port in PORTS.items():
            self._serve(mode, port)
        self.topo.start_agents()

    def _route_directly(self):
        """Routes of the bench's own: pod, node, link, node, pod, and no agent."""
        sides = ((self.east, self.client, DIRECT_CLIENT, self.west, DIRECT_SERVER),
                 (self.west, self.server, DIRECT_SERVER, self.east, DIRECT_CLIENT))
        for cluster, pod, here, other, there in sides:
            network.batch(pod.netns, [
                f"addr add {here}/32 dev eth0",
                f"route add {there}/32 via {network.GATEWAY} dev eth0 src {here}"])
            network.batch(cluster.netns, [f"route add {here}/32 dev pod-{pod.name}",
                                          f"route add {there}/32 via {other.ip}"])

    def _serve(self, mode, port):
        process = self.server.start(
            [topology.program("tombolo-bench-load"), "server", "--mode", mode, "--listen",
             f"0.0.0.0:{port}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        if not select.select([process.stdout], [], [], 10)[0] or \
                process.stdout.readline() != b"ready\n":
            raise host.HostError(f"the {mode} server did not start on port {port}")

    def load(self, row, path, seconds):
        """One run of the client: its JSON."""
        address = DIRECT_SERVER if path == "direct" else self.service.vip
        done = self.client.run(
            [topology.program("tombolo-bench-load"), "client", "--to",
             f"{address}:{PORTS[row.server]}", "--seconds", str(seconds), *row.arguments],
            timeout=seconds + 60)
        if done.returncode != 0:
            raise host.HostError(f"{row.name}, {path}: {done.stderr.strip()}\n"
                                 + "\n".join(agent.log_tail(15) for agent in self.agents))
        return json.loads(done.stdout)

    def counters(self):
        """What tells the two paths apart, of both agents together."""
        samples = [agent.metrics() for agent in self.agents]
        return {"connections": sum(one['tombolo_connections_total{role="dialer"}']
                                   for one in samples),
                "handshakes": sum(one['tombolo_tunnels_total{role="dialer"}']
                                  for one in samples)}

    def measure(self, row, path, seconds):
        """One sample. The agents are asked nothing while their CPU time is counted."""
        counters = self.counters()
        for agent in self.agents:
            _forget_peak(agent.pid)
        before = self._cpu()
        client = self.load(row, path, seconds)
        time.sleep(0.05)  # the agents hear of the last connections' end
        cpu = {name: value - before[name] for name, value in self._cpu().items()}
        sample = {"path": path, "client": client, "cpu_ns": cpu,
                  "agents_peak_rss_bytes": {agent.cluster.name: _peak(agent.pid)
                                            for agent in self.agents}}
        sample |= {name: value - counters[name] for name, value in self.counters().items()}
        self._check_path(row, sample)
        return sample

    @staticmethod
    def _check_path(row, sample):
        """A direct number must not have met an agent, nor the other kind have missed one."""
        made = sample["client"]["operations"] if row.mode == "connects" else row.connections
        expected = made if sample["path"] == "agents" else 0
        if sample["connections"] != expected:
            raise host.HostError(f"{row.name}, {sample['path']}: the agents relayed "
                                 f"{sample['connections']:g} connections, not {expected}")

    def _cpu(self):
        """CPU time so far, in ns, of the agents, the two ends, and everybody else."""
        busy, topo = _machine_cpu(), _cgroup_cpu(self.topo.cgroup)
        times = {f"agent_{agent.cluster.name}": _cgroup_cpu(f"{agent.cluster.cgroup}/agent")
                 for agent in self.agents}
        return times | {"client": _cgroup_cpu(self.client.cgroup),
                        "server": _cgroup_cpu(self.server.cgroup), "others": busy - topo}

    def idle_cpu(self, seconds=2):
        """CPU seconds per second of both agents while nothing happens."""
        def both():
            return sum(_cgroup_cpu(f"{agent.cluster.cgroup}/agent") for agent in self.agents)
        before = both()
        time.sleep(seconds)
        return (both() - before) / 1e9 / seconds

    def cipher(self):
        """What the tunnels speak, as the agent says."""
        tunnels = self.east.agent.cli("tunnels")["tunnels"]
        return f"{tunnels[0]['tls_version']} {tunnels[0]['cipher']}" if tunnels else None


def _tune(pod):
    """A client that makes thousands of connections a second would run out of ports: they
    stay in TIME_WAIT for a minute unless reused."""
    def write():
        for key, value in {"tcp_tw_reuse": "1", "ip_local_port_range": "16384 65535"}.items():
            with open(f"/proc/sys/net/ipv4/{key}", "w", encoding="ascii") as out:
                out.write(value)
    host.in_netns(network.path(pod.netns), write)


def _cgroup_cpu(path):
    """ns. cpu.stat has usage_usec in every cgroup v2, with or without the cpu controller."""
    with open(f"{path}/cpu.stat", encoding="ascii") as lines:
        stat = dict(line.split() for line in lines)
    return int(stat["usage_usec"]) * 1000


def _machine_cpu():
    """ns in which a core was busy or stolen by the hypervisor: proc(5), to a clock tick."""
    with open("/proc/stat", encoding="ascii") as lines:
        user, nice, system, _, _, irq, softirq, steal = map(int, lines.readline().split()[1:9])
    ticks = user + nice + system + irq + softirq + steal
    return ticks * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))


def _forget_peak(pid):
    """Makes the present resident size the peak: proc(5), clear_refs."""
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as out:
        out.write("5")


def _peak(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def run(world, rows, options):
    """All samples, by row. Rounds and paths alternate, so that a slow minute of the machine
    meets every row and both paths."""
    for row in rows:
        for path in PATHS:
            world.load(row, path, 0.2)
    samples = {row: [] for row in rows}
    for number in range(options.rounds):
        for row in rows:
            for path in PATHS if number % 2 == 0 else reversed(PATHS):
                sample = world.measure(row, path, options.seconds)
                samples[row].append({"round": number + 1} | sample)
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    return samples


def bench(options):
    """Measures, writes and prints."""
    rows = [row for row in ROWS if options.only in row.name]
    if not rows:
        raise host.HostError(f"no row's name contains {options.only!r}")
    machine = report.machine(REPO)
    world = World()
    try:
        world.up()
        idle = world.idle_cpu()
        samples = run(world, rows, options)
        cipher = world.cipher()
        complaints = [line for agent in world.agents for line in agent.complaints()]
    finally:
        world.topo.down()
    if complaints:
        raise host.HostError("\n".join(complaints))
    result = {"machine": machine, "cipher": cipher, "idle_agents_cpu": idle,
              "seconds": options.seconds, "rounds": options.rounds,
              "rows": [{"name": row.name, "mode": row.mode, "connections": row.connections,
                        "size": row.size, "summary": report.summary(row.mode, samples[row]),
                        "samples": samples[row]} for row in rows]}
    with open(options.output, "w", encoding="utf-8") as out:
        json.dump(result, out, indent=1)
        out.write("\n")
    print(report.text(result))
    print(f"\nEvery sample: {options.output}")


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, help="of every row and path (5)")
    parser.add_argument("--seconds", type=float, help="of every run (2)")
    parser.add_argument("--quick", action="store_true",
                        help="3 rounds of 0.4 s: shows that it works, measures little")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--output", default=os.path.join(REPO, "build/bench-first.json"),
                        help="the samples, as JSON (%(default)s)")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (0.4 if options.quick else 2.0)
    if not 1 <= options.rounds <= 100 or not 0.05 <= options.seconds <= 600:
        parser.error("--rounds is 1 to 100, --seconds 0.05 to 600")
    return options


def main():
    """Exits with 77 where the machine cannot do it, so that ctest skips."""
    options = parse()
    os.environ.setdefault("TOMBOLO_BIN", os.path.join(REPO, "build/release/bin"))
    try:
        host.prepare()
    except host.HostError as error:
        print(f"this machine cannot run it: {error}", file=sys.stderr)
        return 1 if os.environ.get("TOMBOLO_NO_SKIP") else SKIPPED
    try:
        bench(options)
    except host.HostError as error:
        print(f"tools/bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
