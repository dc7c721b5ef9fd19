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
import shutil
import sys
import time

import program  # first: where `testing` is
import report
import suite
from failover_faults import FAULTS
from testing import host

QUESTION = "failover"
SLOW = 1.0
_COLUMNS = (
    ("new", "new", False), ("failed", "failed", True), ("%", "failed_percent", True),
    ("last failed", "last_failed", True), ("slow", "slow", True), ("slowest", "slowest", True),
    ("normal after", "normal", True), ("established", "established", False),
    ("lost", "lost", True), ("needlessly", "needless", True), ("silent", "silence", True),
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
    with fault.world("failover") as world:
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
                         "gateways": [gateway.agent.instance for gateway in path.gateways]}
                 for path, seen in taken.long]})


def table(objects):
    """A row for each fault."""
    rows = [[dict(parameters)["fault"], *(report.cell(by_subject["tombolo"].get(metric), spread)
                                          for _, metric, spread in _COLUMNS)]
            for (_, parameters), by_subject in report.grouped(objects).items()]
    return report.table(["fault", *(title for title, _, _ in _COLUMNS)], rows)


def write(options, results, machine):
    """The files, and the table on stdout."""
    program.write_files(options, results, machine, "failover", "failover-samples")
    print(table(results.objects()))
    print(f"\nMedians (min..max) of {options.rounds} rounds; {options.rate:g} new connections a "
          f"second. {report.where(machine)}", *program.warnings(machine), sep="\n")


def parse():
    """The command line."""
    parser = program.parser("tools/bench failover", __doc__.splitlines()[0], "faults")
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
    options = parser.parse_args()
    if options.smoke:
        options.rounds, options.rate, options.established = 1, 10, 4
        options.before, options.seconds, options.after = 1, 1, 1
        options.only = options.only or "killed that"
    return options


def main():
    """Exits with 77 where the machine cannot do it, so that ctest skips."""
    options = parse()
    try:
        host.prepare()
        if not shutil.which("etcd"):
            raise host.HostError("the etcd command")
    except host.HostError as error:
        return program.cannot_run(error)
    machine, results = report.machine(program.REPO), suite.Results()
    try:
        for number in range(options.rounds):
            for fault in FAULTS:
                if options.only in fault.name:
                    measure(fault, options, results, number + 1)
                    print(f"{QUESTION}: round {number + 1} of {options.rounds}, {fault.name}",
                          file=sys.stderr, flush=True)
    except host.HostError as error:
        return program.failed("tools/bench failover", error)
    if not results.values:
        return program.failed("tools/bench failover", f"no fault's name contains {options.only!r}")
    write(options, results, machine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
