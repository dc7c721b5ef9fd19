# SPDX-License-Identifier: Apache-2.0
"""The guests' own machinery: how a job ends is told apart, and nothing else passes for success."""
import io
import os
import subprocess
import tempfile
import unittest
from unittest import mock

from testing import case
from . import cache, cpio, guest, initramfs, kernels, programs


class CpioTest(unittest.TestCase):
    """Archives that cpio(1), and so the kernel, can read."""

    def archive(self):
        """A tree with one of each kind."""
        tree = cpio.Tree()
        tree.text("/etc/odd", "odd", 0o640)
        tree.text("/etc/odd", "other")
        tree.link("/bin/sh", "../etc/odd")
        tree.copy("/usr/self", __file__)
        out = io.BytesIO()
        tree.write(out)
        return out.getvalue()

    def test_the_same_files_give_the_same_bytes(self):
        self.assertEqual(self.archive(), self.archive())

    def test_can_be_unpacked(self):
        if not os.path.exists("/bin/busybox"):
            case.skip_without("busybox is not installed: run tools/setup")
        with tempfile.TemporaryDirectory() as work:
            subprocess.run(["/bin/busybox", "cpio", "-idm"], input=self.archive(), cwd=work,
                           check=True, capture_output=True)
            with open(f"{work}/etc/odd", encoding="ascii") as content:
                self.assertEqual(content.read(), "other")
            self.assertEqual(os.readlink(f"{work}/bin/sh"), "../etc/odd")
            self.assertEqual(os.stat(f"{work}/usr/self").st_size, os.stat(__file__).st_size)
            self.assertEqual(int(os.stat(f"{work}/usr/self").st_mtime),
                             int(os.stat(__file__).st_mtime))


class CacheTest(unittest.TestCase):
    """An entry is there as a whole or not at all."""

    def setUp(self):
        work = tempfile.TemporaryDirectory()
        self.addCleanup(work.cleanup)
        saved = mock.patch.dict(os.environ, {"TOMBOLO_VM_CACHE": work.name})
        saved.start()
        self.addCleanup(saved.stop)

    @staticmethod
    def fill(path):
        """What a good entry has in it."""
        with open(f"{path}/file", "w", encoding="ascii") as out:
            out.write("whole")

    def test_an_interrupted_run_leaves_nothing_that_counts(self):
        os.mkdir(f"{cache.directory()}/.entry.new-abandoned")
        cache.publish_directory("entry", self.fill)
        self.assertEqual(os.listdir(cache.directory()), ["entry"])

    def test_a_failure_keeps_what_there_was(self):
        path = cache.publish_directory("entry", self.fill)
        with self.assertRaises(ZeroDivisionError):
            cache.publish_directory("entry", lambda work: 1 // 0)
        self.assertEqual(os.listdir(cache.directory()), ["entry"])
        self.assertEqual(os.listdir(path), ["file"])

    def test_a_new_one_replaces_the_old_one(self):
        cache.publish_directory("entry", lambda work: os.mkdir(f"{work}/old"))
        path = cache.publish_directory("entry", self.fill)
        self.assertEqual(os.listdir(path), ["file"])


class GuestTest(unittest.TestCase):
    """Jobs that end in every way there is."""

    @classmethod
    def setUpClass(cls):
        try:
            guest.check_available()
            cls.kernel = kernels.get("6.1")
            initramfs.base(cls.kernel)
        except (guest.Unavailable, kernels.KernelError, programs.ProgramError) as error:
            case.skip_without(error)

    def run_job(self, script, timeout=60):
        """The result of a shell script."""
        tree = initramfs.base(self.kernel)
        initramfs.add_job(tree, ["sh", "-c", script], environment={"WORD": "it's"})
        return guest.run(self.kernel, tree, timeout=timeout)

    def test_output_and_exit_status(self):
        result = self.run_job('echo "$WORD here"; exit 5')
        self.assertEqual(result.status, 5)
        self.assertIn("it's here\n", result.console)
        self.assertNotIn("does not load", result.console)

    def test_a_signal_is_not_success(self):
        self.assertEqual(self.run_job("kill -9 $$").status, 128 + 9)

    def test_a_panic(self):
        with self.assertRaisesRegex(guest.GuestError, "the kernel died.*sysrq"):
            self.run_job("echo c >/proc/sysrq-trigger")

    def test_an_end_without_a_result(self):
        with self.assertRaisesRegex(guest.GuestError, "without a result"):
            self.run_job("poweroff -f")

    def test_no_end(self):
        with self.assertRaisesRegex(guest.GuestError, "still running after 12s"):
            self.run_job("sleep 100", timeout=12)


if __name__ == "__main__":
    case.main()
