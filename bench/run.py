#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures Tombolo beside other proxies and beside plain TCP, on this machine.

Run it as tools/bench. See bench/README.md for what is compared.
"""
import argparse
import json
import sys

import program as programs  # first: where `testing` is
import bulk
import connects
import far_bulk
import first_byte
import gateway
import idle
import plot
import report
import request_response
import session as sessions
import suite
from testing import host

PROGRAMS = {program.QUESTION: program
            for program in (bulk, request_response, connects, idle, first_byte, far_bulk,
                            gateway)}


def available(names):
    """Those that this machine has; the others with the reason on stderr."""
    reasons = {name: sessions.missing(name) for name in names}
    for name, reason in reasons.items():
        if reason:
            print(f"{name} is left out: {reason} is not installed (run tools/setup)",
                  file=sys.stderr)
    if programs.NO_SKIP and any(reasons.values()):
        raise host.HostError("TOMBOLO_NO_SKIP=1, and peers are missing")
    return [name for name, reason in reasons.items() if not reason]


def run(options):
    """Measures, and returns the results and what they depend on."""
    results, session = suite.Results(), sessions.Session()
    machine = report.machine(programs.REPO)
    try:
        for question in options.questions or PROGRAMS:
            program = PROGRAMS[question]
            names = available(options.subjects or program.SUBJECTS)
            program.measure(suite.Run(question, session, results, names, options))
        complaints = session.complaints()
    finally:
        session.down()
    if complaints:
        raise host.HostError("\n".join(complaints))
    if not results.values:
        raise host.HostError(f"no row's name contains {options.only!r}")
    return results, machine | {"rounds": options.rounds, "seconds": options.seconds}


def write(options, results, machine):
    """All files, and the table on stdout."""
    objects = results.objects()
    path = programs.write_files(options, results, machine)
    plot.write_all(objects, options.output)
    print(report.text(objects, machine, results.samples))
    print(f"\nResults: {path}. Every sample, and plots: {options.output}/")


def _subjects(text):
    names = text.split(",")
    for name in names:
        if name not in sessions.NAMES:
            raise argparse.ArgumentTypeError(f"{name}: one of {', '.join(sessions.NAMES)}")
    return names


def parse():
    """The command line."""
    parser = programs.parser("tools/bench", __doc__.splitlines()[0], "rows")
    parser.add_argument("questions", nargs="*", metavar="QUESTION",
                        help=f"{', '.join(PROGRAMS)}; all unless given")
    parser.add_argument("--rounds", type=int, help="of every row and subject (5)")
    parser.add_argument("--seconds", type=float, help="of every load (2)")
    parser.add_argument("--quick", action="store_true",
                        help="fewer rows, 2 rounds of 0.3 s: under 3 minutes, measures little")
    parser.add_argument("--subjects", type=_subjects, help="these, separated by commas")
    parser.add_argument("--print-json", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.quick = options.quick or options.smoke
    options.rounds = options.rounds or (1 if options.smoke else 2 if options.quick else 5)
    options.seconds = options.seconds or (0.1 if options.smoke else 0.3 if options.quick else 2.0)
    if not 1 <= options.rounds <= 100 or not 0.05 <= options.seconds <= 600:
        parser.error("--rounds is 1 to 100, --seconds 0.05 to 600")
    if unknown := set(options.questions) - set(PROGRAMS):
        parser.error(f"{', '.join(unknown)}: one of {', '.join(PROGRAMS)}")
    return options


def main():
    """Exits with 77 where the machine cannot do it, so that ctest skips."""
    options = parse()
    try:
        host.prepare()
    except host.HostError as error:
        return programs.cannot_run(error)
    try:
        results, machine = run(options)
    except host.HostError as error:
        return programs.failed("tools/bench", error)
    if options.print_json:
        print("RESULTS " + json.dumps(results.objects()), flush=True)
    else:
        write(options, results, machine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
