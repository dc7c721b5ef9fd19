# SPDX-License-Identifier: Apache-2.0
"""Runs unit test programs in the kernel's record layer: python3 -m vm.inside.unit_test PROGRAM...

That they really did is the kernel's word, not theirs: sockets with TLS in software, both ways.
"""
import os
import subprocess
import sys
import unittest

from testing import case
from vm.inside import machine, tls_stat

PROGRAMS = sys.argv[1:]
# Streams that a program's self-test makes, three suites and one rekey, do not count.
_SELF_TEST = 4
# These send records that do not decrypt, on purpose.
_HOSTILE = {"record_stream_test", "record_move_test", "live_peer_test"}


class UnitTest(unittest.TestCase):
    """All programs in turn."""

    def test_in_the_kernel(self):
        for path in PROGRAMS:
            with self.subTest(os.path.basename(path)):
                self.run_program(path)

    def run_program(self, path):
        """One program: passes, skips nothing, and its records are the kernel's."""
        before = tls_stat.read()
        done = subprocess.run([path, "--gtest_brief=1"], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, check=False,
                              env=os.environ | {"TOMBOLO_RECORD_LAYER": "kernel"})
        print(f"{path}:\n{done.stdout}", flush=True)
        self.assertEqual(done.returncode, 0)
        if machine.can_rekey():
            self.assertNotIn("SKIPPED", done.stdout)
        counted = tls_stat.growth(before, tls_stat.read())
        self.assertGreater(counted["TlsTxSw"], _SELF_TEST, counted)
        self.assertGreater(counted["TlsRxSw"], _SELF_TEST, counted)
        self.assertEqual(counted["TlsTxDevice"] + counted["TlsRxDevice"], 0, counted)
        if os.path.basename(path) not in _HOSTILE:
            self.assertEqual(counted["TlsDecryptError"], 0, counted)


if __name__ == "__main__":
    if not PROGRAMS:
        sys.exit(__doc__)
    del sys.argv[1:]
    case.main()
