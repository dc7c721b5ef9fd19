#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions per byte and per request on one of Debian's kernels, where kernel TLS is.

Run it as tools/bench --vm. The guest's processor is QEMU's, and counts: a nanosecond of its time is
an instruction. So the same programs measure there, and CPU time is what their numbers mean.
"""
import argparse
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(HERE)
sys.path[:0] = [os.path.join(REPO, "tests"), HERE]

# pylint: disable=wrong-import-position
import plot  # noqa: E402
import report  # noqa: E402
import session  # noqa: E402
from vm import guest, kernels, programs, run as vm_run  # noqa: E402

SKIPPED = 77  # ctest's SKIP_RETURN_CODE
# No HAProxy: it needs cmpxchg16b, which the guests do without (see tests/vm/guest.py).
SUBJECTS = ("tombolo-kernel", "tombolo-user", "nginx", "nginx-ktls")
_GUEST_BENCH = "/tombolo/bench"
_MARK = "RESULTS "
_UNITS = {"ns/B": "instructions/B", "us": "thousand instructions"}


def tree(kernel, argv):
    """The guest's files: this machine's proxies with what they load, and the suite."""
    built = vm_run.build_tree(kernel, argv, commands=("nginx",))
    programs.add_file(built, "/usr/lib/nginx/modules/ngx_stream_module.so")
    built.directory("/var/log/nginx")
    built.directory("/var/lib/nginx")
    programs.add_directory(built, HERE, _GUEST_BENCH)
    programs.add_file(built, f"{vm_run.binaries()}/tombolo-bench-load",
                      "/tombolo/bin/tombolo-bench-load")
    return built


def job(options):
    """The command that the guest runs."""
    argv = ["python3", "-B", f"{_GUEST_BENCH}/run.py", "bulk", "requests", "--quick",
            "--print-json", "--rounds", str(options.rounds), "--seconds", str(options.seconds),
            "--subjects", options.subjects]
    return [*argv, "--only", options.only] if options.only else argv


def instructions(console, kernel):
    """The guest's results: what its time means there, and nothing that it does not mean."""
    lines = [line for line in console.splitlines() if line.startswith(_MARK)]
    if not lines:
        raise guest.GuestError("the guest printed no results")
    found = json.loads(lines[-1].removeprefix(_MARK))
    kept = [one for one in found if one["metric"] == "proxy_cpu"]
    for one in kept:
        one |= {"metric": "instructions", "unit": _UNITS[one["unit"]],
                "parameters": one["parameters"] | {"kernel": kernel.name}}
    return kept


def _options():
    parser = argparse.ArgumentParser(prog="tools/bench --vm", description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", action="append", choices=kernels.SUITES,
                        help="can be repeated (6.12)")
    parser.add_argument("--rounds", type=int, default=5, help="of every row and subject (5)")
    parser.add_argument("--seconds", type=float, default=0.05,
                        help="of every load in the guest's time (0.05)")
    parser.add_argument("--quick", action="store_true", help="1 round")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--subjects", default=",".join(SUBJECTS), help="these (%(default)s)")
    parser.add_argument("--timeout", type=float, default=1800, help="of each kernel, in seconds")
    parser.add_argument("--json", metavar="FILE", help="medians and spread as JSON")
    parser.add_argument("--output", default=os.path.join(REPO, "build/bench/vm"),
                        metavar="DIRECTORY", help="for results and plots (%(default)s)")
    parser.add_argument("--verbose", action="store_true", help="the guest's console")
    options = parser.parse_args()
    options.rounds = 1 if options.quick else options.rounds
    if unknown := set(options.subjects.split(",")) - set(session.NAMES):
        parser.error(f"{', '.join(unknown)}: one of {', '.join(session.NAMES)}")
    return options


def measure(options):
    """The results of all kernels, and the kernels' releases."""
    found, releases = [], []
    for name in options.kernel or ["6.12"]:
        kernel = kernels.get(name)
        print(f"Linux {kernel.release} ...", file=sys.stderr, flush=True)
        result = guest.run(kernel, tree(kernel, job(options)), timeout=options.timeout,
                           out=sys.stderr if options.verbose else None, icount=True)
        if result.status != 0:
            raise guest.GuestError(f"exit status {result.status} on Linux {kernel.release}:\n"
                                   + result.console[-4000:])
        found += instructions(result.console, kernel)
        releases.append(kernel.release)
    return found, releases


def write(options, objects, releases):
    """The files, and the table on stdout."""
    os.makedirs(options.output, exist_ok=True)
    path = options.json or f"{options.output}/results.json"
    with open(path, "w", encoding="utf-8") as out:
        json.dump(objects, out, indent=1)
        out.write("\n")
    plot.write_all(objects, options.output)
    machine = report.machine(REPO) | {
        "cpu": "QEMU's, a nanosecond is an instruction", "cores": 1, "virtual": True,
        "kernel": ", ".join(releases), "load_before": 0.0, "rounds": options.rounds,
        "seconds": options.seconds}
    print(report.text(objects, machine, []))
    print(f"\nResults: {path}. Plots: {options.output}/")


def main():
    """Exits with 77 where the machine cannot do it."""
    options = _options()
    os.environ.setdefault("TOMBOLO_BIN", os.path.join(REPO, "build/release/bin"))
    try:
        guest.check_available()
        objects, releases = measure(options)
    except (guest.Unavailable, kernels.KernelError, programs.ProgramError) as error:
        print(f"tools/bench --vm: {error}", file=sys.stderr)
        return 1 if os.environ.get("TOMBOLO_NO_SKIP") == "1" else SKIPPED
    except guest.GuestError as error:
        print(f"tools/bench --vm: {error}", file=sys.stderr)
        return 1
    write(options, objects, releases)
    return 0


if __name__ == "__main__":
    sys.exit(main())
