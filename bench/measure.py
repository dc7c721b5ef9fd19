# SPDX-License-Identifier: Apache-2.0
"""One run of a load through one subject, with what it cost."""
import json
import subprocess
import time
from dataclasses import dataclass

from testing import host, topology

import accounting

BULK = ("upload", "download")
_SERVERS = {"upload": "sink", "download": "source", "requests": "echo", "connects": "echo"}
PERCENTILES = ("p50", "p90", "p99", "p99.9")
# A proxy accepts before it has the other side: until the handshakes of open connections are over.
_SETTLE = 0.1


@dataclass(frozen=True)
class Load:
    """What the client of tombolo-bench-load does."""
    mode: str
    connections: int
    size: int = 0

    def argv(self, subject, seconds):
        """The client's command line."""
        address, port = subject.address(_SERVERS[self.mode])
        size = ["--size", str(self.size)] if self.size else []
        preamble = subject.preamble(_SERVERS[self.mode])
        begin = ["--preamble", preamble] if preamble else []
        return [topology.program("tombolo-bench-load"), "client", "--to", f"{address}:{port}",
                "--seconds", str(seconds), "--mode", self.mode, "--connections",
                str(self.connections), "--wait", *size, *begin]


class Client:
    """The generator with all its connections made, and waiting."""

    def __init__(self, subject, load, seconds):
        self._what, self._subject, self._seconds = f"{load}, {subject.name}", subject, seconds
        self._process = subject.world.client.start(
            load.argv(subject, seconds), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self._process.stdout.readline()  # what is not "ready" is an error, and finish() shows it
        if load.mode != "connects":
            time.sleep(_SETTLE)

    def finish(self):
        """The load, and its result. It fails when a connection is reset, when bytes are missing,
        and when an answer differs from its request."""
        try:
            out, err = self._process.communicate(b"\n", timeout=self._seconds + 60)
        except subprocess.TimeoutExpired as error:
            raise host.HostError(f"{self._what}: no end") from error
        if self._process.returncode != 0:
            agents = self._subject.world.agents
            raise host.HostError("\n".join([
                f"{self._what}: {err.decode().strip()}", *self._subject.world.complaints(),
                *(agent.log_tail(10) for agent in agents)]))
        return json.loads(out)


def warm_up(subject, load, seconds):
    """The same load without a look at it."""
    Client(subject, load, seconds).finish()


def sample(subject, load, seconds):
    """The client's result and the cost of both proxies. Nobody asks the proxies anything while
    their CPU time is counted."""
    counters = subject.counters()
    for cgroup in subject.cgroups:
        accounting.forget_peak(cgroup)
    starting = Client(subject, load, seconds)
    before, busy = _cost(subject), accounting.machine_cpu()
    ours = accounting.cgroup_cpu(subject.world.topo.cgroup)
    client = starting.finish()
    time.sleep(0.05)  # the proxies hear of the last connections' end
    after = _cost(subject)
    others = accounting.machine_cpu() - busy - (
        accounting.cgroup_cpu(subject.world.topo.cgroup) - ours)
    grown = {name: value - counters[name] for name, value in subject.counters().items()}
    subject.check(grown, client["operations"] if load.mode == "connects" else load.connections)
    return {"client": client, "counters": grown,
            "proxies": {name: value - before[name] for name, value in after.items()},
            "peak_bytes": max(map(accounting.peak, subject.cgroups), default=0),
            "others_cores": others / 1e9 / client["seconds"]}


def _cost(subject):
    return {"cpu_ns": sum(map(accounting.cgroup_cpu, subject.cgroups)),
            "context_switches": sum(map(accounting.context_switches, subject.cgroups))}


def metrics(load, taken, threads_end=False):
    """{metric: (value, unit)} of a sample. `threads_end`: with a connection's thread its count
    of context switches is lost."""
    client, bulk = taken["client"], load.mode in BULK
    amount = client["bytes"] if bulk else client["operations"]
    if bulk:
        found = {"throughput": (client["bytes_per_second"] * 8e-9, "Gbit/s")}
    else:
        found = {"rate": (client["operations_per_second"], "1/s")}
        found |= {name: (client["latency_us"][name], "us") for name in PERCENTILES}
    if taken["peak_bytes"]:  # through proxies
        each = "ns/B" if bulk else "us"
        found["proxy_cpu"] = (taken["proxies"]["cpu_ns"] / amount / (1 if bulk else 1e3), each)
        found["peak_memory"] = (taken["peak_bytes"] / 2**20, "MiB")
        if not bulk and not threads_end:
            switches = taken["proxies"]["context_switches"]
            found["context_switches"] = (switches / amount, "1")
    return found
