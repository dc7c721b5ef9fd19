#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What connections between clusters meet when something breaks.

Run it as tools/bench failover. Each fault meets clusters of its own that have just come up
(failover_world.py), with a load that goes on while it comes, holds and goes away again. Every
number is the clients', counted from the fault to the end:

    new, failed   short connections begun in that time, or under way when it came; of those, not
                  connected, not answered or ended otherwise than in order within 10 s
    last failed   when the last of these was begun, after the fault
    slow, slowest good ones that took more than 1 s; the longest
    normal after  after the fault, when the last one that failed or was slow was begun: from then on,
                  the fault no longer matters to new connections, whether it has gone away or not
    lost          long connections that ended; needlessly: of those, whose path has nothing of what
                  died in it (a fault that kills nothing loses all of them needlessly)
    silent        the longest that one of the others heard nothing
"""
import argparse
import json
import os
import shutil
import sys
import time
from dataclasses import dataclass
from typing import Callable

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(HERE)
sys.path[:0] = [os.path.join(REPO, "tests"), HERE]

# pylint: disable=wrong-import-position
import report  # noqa: E402
import suite  # noqa: E402
from failover_world import World  # noqa: E402
from testing import host, network, wide  # noqa: E402

QUESTION = "failover"
SKIPPED = 77  # ctest's SKIP_RETURN_CODE
SLOW = 1.0
_COLUMNS = (
    ("new", "new", False), ("failed", "failed", True), ("%", "failed_percent", True),
    ("last failed", "last_failed", True), ("slow", "slow", True), ("slowest", "slowest", True),
    ("normal after", "normal", True), ("established", "established", False),
    ("lost", "lost", True), ("needlessly", "needless", True), ("silent", "silence", True),
)


@dataclass(frozen=True)
class Fault:
    """`begin(world)` returns what has died with it: nodes, gateways, and clusters of which nothing
    can be reached; `end(world)` undoes it. `holds` is the least number of seconds between them, for
    what takes its time to be noticed."""
    name: str
    begin: Callable
    end: Callable
    holds: float = 0.0


def _kill(*places):
    for place in places:
        place.agent.kill()
    return places


def _start(*places):
    for place in places:
        place.agent.start()
    for place in places:
        place.agent.wait_ready()


def _unplug(node):
    network.batch(node.netns, ["link set lan down"])
    return (node,)


def _plug_in(node):
    network.batch(node.netns, ["link set lan up"])
    wide.route(node)


def _black_hole(cluster):
    cluster.link.black_hole()
    return (cluster,)


def _flap(cluster):
    """A second without and a second with it, five times."""
    for number in range(5):
        cluster.link.black_hole()
        time.sleep(1)
        cluster.link.black_hole(False)
        if number < 4:
            time.sleep(1)
    return ()


def _kill_publisher(world):
    world.killed = world.publisher(world.west)
    return _kill(world.killed)


def _kill_other_gateway(world):
    publisher = world.publisher(world.west)
    world.killed = next(one for one in world.west.gateways if one is not publisher)
    return _kill(world.killed)


def _lossy(world):
    world.west.link.change(150, 7)
    return ()


def _cut(world):
    world.cut_from_etcd(world.west)
    return ()


def _stop_member(world):
    world.etcd.members[0].stop()
    return ()


def _stop_etcd(world):
    world.etcd.stop()
    return ()


# A lease is over 15 s after its holder has gone.
_LEASE = 20.0
FAULTS = (
    Fault("none", lambda world: (), lambda world: None),
    Fault("agent of a serving node killed", lambda world: _kill(world.west.nodes[0]),
          lambda world: _start(world.west.nodes[0])),
    Fault("serving node unplugged", lambda world: _unplug(world.west.nodes[0]),
          lambda world: _plug_in(world.west.nodes[0])),
    Fault("gateway killed", _kill_other_gateway, lambda world: _start(world.killed)),
    Fault("gateway killed that publishes", _kill_publisher, lambda world: _start(world.killed),
          _LEASE),
    Fault("cluster killed: connections refused", lambda world: _kill(*world.west.places()),
          lambda world: _start(*world.west.places()), _LEASE),
    Fault("cluster black-holed", lambda world: _black_hole(world.west),
          lambda world: world.west.link.black_hole(False), _LEASE),
    Fault("cluster's leases lost", _cut,
          lambda world: world.cut_from_etcd(world.west, False), _LEASE),
    Fault("link flapping, 1 s and 1 s", lambda world: _flap(world.west), lambda world: None),
    Fault("link with 300 ms and 7 % loss", _lossy, lambda world: world.west.link.change(5)),
    Fault("one member of etcd killed", _stop_member,
          lambda world: world.etcd.members[0].start()),
    Fault("all of etcd killed", _stop_etcd, lambda world: world.etcd.start()),
)


def judge(fault_at, dead, taken):
    """{metric: (value, unit)} of what the clients report."""
    new = [(begun - fault_at, seconds, error) for begun, seconds, error in taken.short
           if begun + seconds >= fault_at]
    failed = [begun for begun, _, error in new if error]
    good = [(begun, seconds) for begun, seconds, error in new if not error]
    slow = [begun for begun, seconds in good if seconds > SLOW]
    lost = [path for path, seen in taken.long if seen["error"]]
    return {
        "new": (len(new), "count"), "failed": (len(failed), "count"),
        "failed_percent": (100 * len(failed) / len(new), "1"),
        "last_failed": (max([0, *failed]), "s"), "slow": (len(slow), "count"),
        "slowest": (max((seconds for _, seconds in good), default=0), "s"),
        "normal": (max([0, *failed, *slow]), "s"),
        "established": (len(taken.long), "count"), "lost": (len(lost), "count"),
        "needless": (sum(not path.through(dead) for path in lost), "count"),
        "silence": (max((seen["silence"] for _, seen in taken.long if not seen["error"]),
                        default=0), "s")}


def measure(fault, options, results, number):
    """One fault, met by clusters of its own."""
    with World("failover") as world:
        load = world.load(options.rate, options.established)
        time.sleep(options.before)
        fault_at = time.monotonic()
        dead = fault.begin(world)
        time.sleep(max(options.seconds, 0 if options.smoke else fault.holds))
        fault.end(world)
        time.sleep(options.after)
        taken = load.end()
        if complaints := world.complaints():
            raise host.HostError("\n".join(complaints))
        if early := [one for one in taken.short if sum(one[:2]) < fault_at and one[2]]:
            raise host.HostError(f"{fault.name}: failed before the fault: {early[:5]}")
    errors = {}
    for _, _, error in taken.short:
        if error:
            errors[error] = errors.get(error, 0) + 1
    results.add(QUESTION, "tombolo", {"fault": fault.name}, judge(fault_at, dead, taken), {
        "round": number, "fault_at": fault_at, "short": taken.short, "errors": errors,
        "long": [seen | {"server": f"{path.cluster.name}/{path.node.node}",
                         "gateway": path.gateway.address} for path, seen in taken.long]})


def table(objects):
    """A row for each fault."""
    rows = [[dict(parameters)["fault"], *(report.cell(by_subject["tombolo"].get(metric), spread)
                                          for _, metric, spread in _COLUMNS)]
            for (_, parameters), by_subject in report.grouped(objects).items()]
    return report.table(["fault", *(title for title, _, _ in _COLUMNS)], rows)


def write(options, results, machine):
    """The files, and the table on stdout."""
    os.makedirs(options.output, exist_ok=True)
    for path, content in ((options.json or f"{options.output}/failover.json", results.objects()),
                          (f"{options.output}/failover-samples.json",
                           {"machine": machine, "samples": results.samples})):
        with open(path, "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1)
            out.write("\n")
    print(table(results.objects()))
    print(f"\nMedians (min..max) of {options.rounds} rounds; {options.rate:g} new connections a "
          f"second. {report.where(machine)}")
    if machine["load_before"] > 0.5:
        print(f"NOT IDLE: load average {machine['load_before']:.1f} before the first fault.")


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools/bench failover",
                                     description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="of every fault (%(default)s)")
    parser.add_argument("--rate", type=float, default=50,
                        help="new connections a second (%(default)s)")
    parser.add_argument("--established", type=int, default=40,
                        help="long connections to the service (%(default)s)")
    parser.add_argument("--before", type=float, default=3, help="seconds of load (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10,
                        help="that a fault holds, at least (%(default)s)")
    parser.add_argument("--after", type=float, default=8,
                        help="seconds of load when it has gone (%(default)s)")
    parser.add_argument("--smoke", action="store_true",
                        help="two faults, little load: shows only that it works")
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--json", metavar="FILE", help="medians and spread as JSON")
    parser.add_argument("--output", default=os.path.join(REPO, "build/bench"), metavar="DIRECTORY",
                        help="for every connection of every round (%(default)s)")
    options = parser.parse_args()
    if options.smoke:
        options.rounds, options.rate, options.established = 1, 10, 4
        options.before, options.seconds, options.after = 1, 1, 1
        options.only = options.only or "killed that publishes"
    return options


def main():
    """Exits with 77 where the machine cannot do it, so that ctest skips."""
    options = parse()
    os.environ.setdefault("TOMBOLO_BIN", os.path.join(REPO, "build/release/bin"))
    try:
        host.prepare()
        if not shutil.which("etcd"):
            raise host.HostError("the etcd command")
    except host.HostError as error:
        print(f"this machine cannot run it: {error}", file=sys.stderr)
        return 1 if os.environ.get("TOMBOLO_NO_SKIP") == "1" else SKIPPED
    machine, results = report.machine(REPO), suite.Results()
    try:
        for number in range(options.rounds):
            for fault in FAULTS:
                if options.only in fault.name:
                    measure(fault, options, results, number + 1)
                    print(f"{QUESTION}: round {number + 1} of {options.rounds}, {fault.name}",
                          file=sys.stderr, flush=True)
    except host.HostError as error:
        print(f"tools/bench failover: {error}", file=sys.stderr)
        return 1
    if not results.values:
        print(f"tools/bench failover: no fault's name contains {options.only!r}", file=sys.stderr)
        return 1
    write(options, results, machine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
