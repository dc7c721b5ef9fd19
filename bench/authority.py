#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a certificate costs the authority, beside one signature and one verification.

Run it as tools/bench authority. See bench/README.md for what is measured.
"""
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

import program  # first: where `testing` is
import report
import suite
from testing import host, topology, yaml_text

QUESTION = "authority"
_PATIENCE = 60.0
_TRUST_DOMAIN = "bench.example"
# Agents that come from one address here have one each elsewhere. All else is the default.
_LIMITS = {"connections_per_address": 4096}
_LOADS = {"renew, connection kept": ["--keep"], "renew, new connection": [],
          "join, new connection": ["--join"]}
# Tokens for a second, at most: more than a core can give.
_TOKENS = 4000
# Title, metrics that belong there, with spread?
_COLUMNS = (
    ("issued", "rate", True), ("p50", "p50", False), ("p99", "p99", True),
    ("CPU each", "cpu", True), ("x (sign + verify)", "overhead", True),
    ("sign", "sign", False), ("verify", "verify", False),
    ("all served", "all_served", True), ("due until served p50", "served_p50", False),
    ("p99", "served_p99", True), ("429", "busy", False), ("reset", "reset", False),
    ("retries", "retries", False), ("memory before", "memory_before", False),
    ("peak", "peak_memory", True),
)


def pinned(core):
    """For Popen: a child that stays on one core."""
    return {"preexec_fn": lambda: os.sched_setaffinity(0, {core})}


class Authority:
    """A trust domain with cluster east, in a directory of its own, and its server on one core."""

    def __init__(self, directory, core):
        self._core, self._admin = core, host.free_port()
        self.config = f"{directory}/ca.yaml"
        self._log = f"{directory}/ca.log"
        host.sh(topology.program("tombolo-ca"), "init", "--dir", directory, "--trust-domain", _TRUST_DOMAIN)
        with open(self.config, "w", encoding="ascii") as out:
            out.write(yaml_text.to_yaml({
                "trust_domain": _TRUST_DOMAIN, "store": {"sqlite": "ca.db"}, "keys": ".",
                "serve": {"listen": f"127.0.0.1:{host.free_port()}"},
                "admin": {"listen": f"127.0.0.1:{self._admin}"}, "limits": _LIMITS}))
        host.sh(topology.program("tombolo-ca"), "cluster", "add", "east", "--config", self.config)
        self._process = None

    def start(self):
        """Serves when this returns."""
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [topology.program("tombolo-ca"), "serve", "--config", self.config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **pinned(self._core))
        host.wait_until("the authority to serve", self._ready)

    def _ready(self):
        if self._process.poll() is not None:
            raise host.HostError(f"tombolo-ca has ended: {self.log()}")
        try:
            with urllib.request.urlopen(self._url("readyz"), timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def stop(self):
        """SIGTERM and wait."""
        if self._process:
            self._process.terminate()
            self._process.wait(timeout=_PATIENCE)
            self._process = None

    def log(self):
        """The end of what it has said."""
        with open(self._log, encoding="utf-8", errors="replace") as lines:
            return lines.read()[-2000:]

    def _url(self, path):
        return f"http://127.0.0.1:{self._admin}/{path}"

    def counter(self, name, label=""):
        """The sum of a metric's samples whose labels contain `label`."""
        with urllib.request.urlopen(self._url("metrics"), timeout=30) as answer:
            text = answer.read().decode()
        return sum(float(line.split()[-1]) for line in text.splitlines()
                   if re.match(rf"{name}[ {{]", line) and label in line)

    def cpu_ns(self):
        """Of all its threads, the kernel's part included: clock_getcpuclockid(3)."""
        return time.clock_gettime_ns((~self._process.pid << 3) | 2)

    def memory(self, field):
        """VmRSS or VmHWM, MiB."""
        with open(f"/proc/{self._process.pid}/status", encoding="ascii") as lines:
            found = re.search(rf"^{field}:\s+(\d+) kB$", lines.read(), re.MULTILINE)
        return int(found[1]) / 1024


def bare_cost(core):
    """us of one ECDSA P-256 signature and of one verification, by this machine's openssl."""
    done = subprocess.run(["openssl", "speed", "-seconds", "1", "ecdsap256"], check=True,
                          capture_output=True, text=True, timeout=60, **pinned(core))
    signs, verifies = map(float, done.stdout.splitlines()[-1].split()[-2:])
    return 1e6 / signs, 1e6 / verifies


class Client:
    """tombolo-bench-enrol with everything made, waiting."""

    def __init__(self, authority, core, argv):
        self._argv, self._authority = argv, authority
        self._process = subprocess.Popen(
            [topology.program("tombolo-bench-enrol"), "--config", authority.config, *argv],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **pinned(core))
        # What is not "ready" is an error, and finish() shows it.
        select.select([self._process.stdout], [], [], 600)
        self._process.stdout.readline()

    def finish(self, seconds):
        """The load and its result. Any request that is not answered as it should be fails it."""
        try:
            out, err = self._process.communicate(b"\n", timeout=seconds + 900)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            raise host.HostError(f"{self._argv}: no end") from error
        if self._process.returncode != 0:
            raise host.HostError(f"{self._argv}: {err.decode().strip()}\n{self._authority.log()}")
        return json.loads(out)


class Bench:
    """One run: an authority, what is asked of it, and the results."""

    def __init__(self, options, directory):
        cores = sorted(os.sched_getaffinity(0))
        self.server_core, self.client_core = cores[0], cores[-1]
        self.options, self.results = options, suite.Results()
        self._authority = Authority(directory, self.server_core)

    def run(self):
        """All rows, the loops in turn in each round."""
        for number in range(self.options.rounds):
            for name in filter(self._wanted, _LOADS):
                self._loop(number + 1, name)
            print(f"{QUESTION}: round {number + 1} of {self.options.rounds}", file=sys.stderr,
                  flush=True)
        for number in range(self.options.storms):
            if self._wanted("agents at once"):
                self._fleet(number + 1, "agents at once", 0)
        name = f"agents within {self.options.window:g} s"
        if self.options.window and self._wanted(name):
            self._fleet(1, name, self.options.window)

    def _wanted(self, name):
        return self.options.only in name

    def _loop(self, number, name):
        options = self.options
        self._measure(number, {"load": name, "at once": options.workers}, [
            "loop", "--workers", str(options.workers), "--seconds", str(options.seconds),
            "--tokens", str(int(_TOKENS * options.seconds) + options.workers), *_LOADS[name]],
            options.seconds, lambda client: {
                "rate": (client["per_second"], "1/s"), "p50": (client["latency_us"]["p50"], "us"),
                "p99": (client["latency_us"]["p99"], "us")})

    def _fleet(self, number, name, window):
        self._measure(number, {"load": name, "agents": self.options.agents}, [
            "fleet", "--agents", str(self.options.agents), "--window", str(window)], window,
            lambda client: {
                "all_served": (client["seconds"], "s"), "retries": (client["retries"], "1"),
                "p50": (client["latency_us"]["p50"], "us"),
                "p99": (client["latency_us"]["p99"], "us"),
                "served_p50": (client["served_us"]["p50"] / 1e6, "s"),
                "served_p99": (client["served_us"]["p99"] / 1e6, "s")})

    def _measure(self, number, parameters, argv, seconds, of_client):
        """One row of a round, with a fresh server."""
        authority = self._authority
        sign, verify = bare_cost(self.server_core)
        authority.start()
        try:
            client = Client(authority, self.client_core, argv)
            before, busy = self._state(), authority.cpu_ns()
            taken = client.finish(seconds)
            cpu = (authority.cpu_ns() - busy) / 1e3 / taken["issued"]
            grown = {name: value - before[name] for name, value in self._state().items()}
            metrics = of_client(taken) | {
                "cpu": (cpu, "us"), "overhead": (cpu / (sign + verify), "1"),
                "sign": (sign, "us"), "verify": (verify, "us"),
                "memory_before": (before["memory"], "MiB"),
                "peak_memory": (authority.memory("VmHWM"), "MiB")}
            if argv[0] == "fleet":
                metrics |= {"busy": (grown["busy"], "1"), "reset": (grown["reset"], "1")}
        finally:
            authority.stop()
        self.results.add(QUESTION, "tombolo-ca", parameters, metrics,
                         {"round": number, "client": taken, "server": grown})

    def _state(self):
        authority = self._authority
        return {"busy": authority.counter("tombolo_ca_requests_total", 'status="429"'),
                "reset": authority.counter("tombolo_ca_connections_refused_total"),
                "handshakes": authority.counter("tombolo_ca_handshakes_total"),
                "memory": authority.memory("VmRSS")}


def table(objects):
    """A row for each load."""
    rows = []
    for (_, parameters), by_subject in report.grouped(objects).items():
        name = ", ".join(f"{value} {key}" if key != "load" else value
                         for key, value in parameters)
        metrics = by_subject["tombolo-ca"]
        rows.append([name, *(report.cell(metrics.get(metric), spread)
                             for _, metric, spread in _COLUMNS)])
    return report.table(["load", *(title for title, _, _ in _COLUMNS)], rows)


def write(options, results, machine):
    """The files, and the table on stdout."""
    program.write_files(options, results, machine, "authority", "authority-samples")
    print(table(results.objects()))
    print(f"\nMedians (min..max) of {options.rounds} rounds of {options.seconds:g} s. "
          f"{report.where(machine)}", *program.warnings(machine), sep="\n")


def parse():
    """The command line."""
    parser = program.parser("tools/bench authority", __doc__.splitlines()[0], "loads")
    parser.add_argument("--rounds", type=int, default=5, help="of every load (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="of every load (%(default)s)")
    parser.add_argument("--workers", type=int, default=16, help="requests at once (%(default)s)")
    parser.add_argument("--agents", type=int, default=10000, help="that renew (%(default)s)")
    parser.add_argument("--window", type=float, default=300,
                        help="seconds in which they are due; 0 leaves that out (%(default)s)")
    parser.add_argument("--storms", type=int, default=3, help="of all at once (%(default)s)")
    options = parser.parse_args()
    if options.smoke:
        options.rounds, options.seconds, options.workers = 1, 0.2, 4
        options.agents, options.window, options.storms = 50, 1, 1
    return options


def main():
    """Exits with 77 where the machine cannot do it, so that ctest skips."""
    options = parse()
    if not shutil.which("openssl"):
        return program.cannot_run("the openssl command")
    host.raise_descriptor_limit()
    os.makedirs(options.output, exist_ok=True)
    machine = report.machine(program.REPO)
    # On the disk of the output: the store waits for it with every certificate.
    with tempfile.TemporaryDirectory(dir=options.output) as directory:
        bench = Bench(options, directory)
        try:
            bench.run()
        except host.HostError as error:
            return program.failed("tools/bench authority", error)
    write(options, bench.results, machine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
