# SPDX-License-Identifier: Apache-2.0
"""Runs a fuzzer of build/fuzz from its seeds for some seconds: python3 -m fuzz.run NAME SECONDS.

The seconds are the effort and prove nothing by themselves: a run fails by what it finds.
"""
import os
import subprocess
import sys
import tempfile
import unittest

from testing import case

from . import seeds

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TREE = f"{REPO}/build/fuzz"


def run(name, seconds):
    """The fuzzer's exit status. What it crashed on stays in build/fuzz/tests/fuzz."""
    program, found = f"{TREE}/bin/{name}", f"{TREE}/tests/fuzz/"
    if not os.access(program, os.X_OK):
        case.skip_without(f"{program}: tools/build fuzz fuzzers_of_requests")
    os.makedirs(found, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        seeds.write(corpus, name)
        return subprocess.run(
            [program, f"-max_total_time={seconds}", "-verbosity=0", "-print_final_stats=1",
             f"-artifact_prefix={found}{name}-", f"{corpus}/{name}"],
            stdin=subprocess.DEVNULL, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1], int(sys.argv[2])))
    except unittest.SkipTest as skipped:
        print(skipped)
        sys.exit(77)  # ctest's SKIP_RETURN_CODE
