#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures Tombolo beside other proxies and beside plain TCP, on this machine.

Run it as tools/bench. See bench/README.md for what is compared.
"""
import argparse
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(HERE)
sys.path[:0] = [os.path.join(REPO, "tests"), HERE]

# pylint: disable=wrong-import-position
import bulk  # noqa: E402
import connects  # noqa: E402
import far_bulk  # noqa: E402
import first_byte  # noqa: E402
import gateway  # noqa: E402
import idle  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402
import request_response  # noqa: E402
import session as sessions  # noqa: E402
import suite  # noqa: E402
from testing import host  # noqa: E402

PROGRAMS = {program.QUESTION: program
            for program in (bulk, request_response, connects, idle, first_byte, far_bulk,
                            gateway)}
SKIPPED = 77  # ctest's SKIP_RETURN_CODE
NO_SKIP = os.environ.get("TOMBOLO_NO_SKIP") == "1"


def available(names):
    """Those that this machine has; the others with the reason on stderr."""
    reasons = {name: sessions.missing(name) for name in names}
    for name, reason in reasons.items():
        if reason:
            print(f"{name} is left out: {reason} is not installed (run tools/setup)",
                  file=sys.stderr)
    if NO_SKIP and any(reasons.values()):
        raise host.HostError("TOMBOLO_NO_SKIP=1, and peers are missing")
    return [name for name, reason in reasons.items() if not reason]


def run(options):
    """Measures, and returns the results and what they depend on."""
    results, session = suite.Results(), sessions.Session()
    machine = report.machine(REPO)
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
    os.makedirs(options.output, exist_ok=True)
    for path, content in ((options.json or f"{options.output}/results.json", objects),
                          (f"{options.output}/samples.json",
                           {"machine": machine, "samples": results.samples})):
        with open(path, "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1)
            out.write("\n")
    plot.write_all(objects, options.output)
    print(report.text(objects, machine, results.samples))
    print(f"\nResults: {options.json or options.output + '/results.json'}. "
          f"Every sample, and plots: {options.output}/")


def _subjects(text):
    names = text.split(",")
    for name in names:
        if name not in sessions.NAMES:
            raise argparse.ArgumentTypeError(f"{name}: one of {', '.join(sessions.NAMES)}")
    return names


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__.splitlines()[0])
    parser.add_argument("questions", nargs="*", metavar="QUESTION",
                        help=f"{', '.join(PROGRAMS)}; all unless given")
    parser.add_argument("--rounds", type=int, help="of every row and subject (5)")
    parser.add_argument("--seconds", type=float, help="of every load (2)")
    parser.add_argument("--quick", action="store_true",
                        help="fewer rows, 2 rounds of 0.3 s: under 3 minutes, measures little")
    parser.add_argument("--smoke", action="store_true",
                        help="the least of everything: shows only that it works")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--subjects", type=_subjects, help="these, separated by commas")
    parser.add_argument("--json", metavar="FILE", help="medians and spread as JSON")
    parser.add_argument("--output", default=os.path.join(REPO, "build/bench"), metavar="DIRECTORY",
                        help="for every sample and the plots (%(default)s)")
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
    os.environ.setdefault("TOMBOLO_BIN", os.path.join(REPO, "build/release/bin"))
    try:
        host.prepare()
    except host.HostError as error:
        print(f"this machine cannot run it: {error}", file=sys.stderr)
        return 1 if NO_SKIP else SKIPPED
    try:
        results, machine = run(options)
    except host.HostError as error:
        print(f"tools/bench: {error}", file=sys.stderr)
        return 1
    if options.print_json:
        print("RESULTS " + json.dumps(results.objects()), flush=True)
    else:
        write(options, results, machine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
