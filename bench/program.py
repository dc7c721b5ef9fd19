# SPDX-License-Identifier: Apache-2.0
"""What the programs that tools/bench starts have in common: where they find the tests' modules, what
their command lines share, how they end, and the files that they leave.

Import it before anything of `testing`.
"""
import argparse
import json
import os
import sys

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(REPO, "tests"))
os.environ.setdefault("TOMBOLO_BIN", os.path.join(REPO, "build/release/bin"))

NO_SKIP = os.environ.get("TOMBOLO_NO_SKIP") == "1"
_SKIPPED = 77  # ctest's SKIP_RETURN_CODE
_BUSY = 0.5  # load average


def parser(name, description, what):
    """A command line with the options that all have; `what` is what a row of the table is called."""
    made = argparse.ArgumentParser(prog=name, description=description)
    made.add_argument("--smoke", action="store_true",
                      help="the least of everything: shows only that it works")
    made.add_argument("--only", default="", help=f"{what} whose name contains this")
    made.add_argument("--json", metavar="FILE", help="medians and spread as JSON")
    made.add_argument("--output", default=os.path.join(REPO, "build/bench"), metavar="DIRECTORY",
                      help="for every sample, and what else is made (%(default)s)")
    return made


def cannot_run(reason):
    """The exit status where the machine cannot do it, so that ctest skips."""
    print(f"this machine cannot run it: {reason}", file=sys.stderr)
    return 1 if NO_SKIP else _SKIPPED


def failed(name, error):
    """The exit status of a run that went wrong."""
    print(f"{name}: {error}", file=sys.stderr)
    return 1


def write_files(options, results, machine, name="results", samples="samples"):
    """The results, as <name>.json or where options.json says, and the samples; the results' path."""
    os.makedirs(options.output, exist_ok=True)
    path = options.json or f"{options.output}/{name}.json"
    for where, content in ((path, results.objects()),
                           (f"{options.output}/{samples}.json",
                            {"machine": machine, "samples": results.samples})):
        with open(where, "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1)
            out.write("\n")
    return path


def warnings(machine, others_cores=0.0):
    """A line for people where the numbers are not of an idle machine, or none."""
    if machine["load_before"] <= _BUSY and others_cores <= 0.2:
        return []
    others = f"; others took up to {others_cores:.2f} cores during one" if others_cores else ""
    return [f"NOT IDLE: load average {machine['load_before']:.1f} before the first run{others}. Take "
            "numbers on an idle machine."]
