# SPDX-License-Identifier: Apache-2.0
"""Runs unit test programs in the kernel's record layer: python3 -m vm.inside.unit_test PROGRAM...

Those that move an application's bytes run twice: read and written, and spliced. That the records
really were the kernel's is its word, not theirs: sockets with TLS in software, both ways.
"""
import os
import subprocess
import sys
import unittest

from testing import case
from vm.inside import machine, tls_stat

PROGRAMS = sys.argv[1:]
# Streams that a program's self-test makes do not count: three suites, no padding, a rekey, a splice
# each way.
_SELF_TEST = 7
_MOVERS = {"record_move_test", "record_shutdown_test"}
# These send records that do not decrypt, on purpose.
_HOSTILE = {"record_stream_test", "record_move_test", "live_peer_test"}


class UnitTest(unittest.TestCase):
    """All programs in turn."""

    def test_in_the_kernel(self):
        for path in PROGRAMS:
            name = os.path.basename(path)
            for layer in ("kernel", "splice") if name in _MOVERS else ("kernel",):
                with self.subTest(name, layer=layer):
                    self.run_program(path, layer)

    def run_program(self, path, layer):
        """One program: passes, skips nothing, and its records are the kernel's."""
        before = tls_stat.read()
        done = subprocess.run([path, "--gtest_brief=1"], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, check=False,
                              env=os.environ | {"TOMBOLO_RECORD_LAYER": layer})
        print(f"{path}, {layer}:\n{done.stdout}", flush=True)
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
