# SPDX-License-Identifier: Apache-2.0
"""Boots a kernel under QEMU's software emulation, for one job.

KVM is never used: what the emulator does is the same everywhere, and a machine of a cloud
provider may offer a /dev/kvm that cannot run these kernels.
"""
import re
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass

QEMU = "qemu-system-x86_64"
# QEMU 7.2's cmpxchg16b corrupts the guest: a panic in about one boot of three inside kernel TLS.
# The emulator does each byte of a `rep movsb` by itself: without erms and fsrm copies move words.
_CPU = "max,-cx16,-erms,-fsrm"
# No mitigations=off, although it is faster: the BPF verifier would accept other programs.
_APPEND = "console=ttyS0 quiet panic=-1 oops=panic"
# Without retpolines a guest takes a fifth less time. Not where instructions are counted: those
# counts are compared with earlier ones.
_APPEND_QUICK = " spectre_v2=off"
# 7.x makes BPF's socket storage with kmalloc_nolock(), which without cmpxchg16b works for checked
# caches only: every update of a storage map would be ENOMEM. Costs instructions (see --icount).
_APPEND_FOR = {"7": " slab_debug=F,kmalloc-*"}
# The BIOS clears the screen; the serial console ends its lines with \r\n.
_ESCAPES = re.compile(r"\x1b(c|\[[?0-9;]*[A-Za-z])|\r")
_PANIC = "Kernel panic - not syncing"


class GuestError(Exception):
    """The guest did not come to an end that has an exit status."""


class Unavailable(Exception):
    """This machine cannot boot guests."""


@dataclass(frozen=True)
class Result:
    """How the job ended."""

    status: int
    seconds: float
    console: str


def check_available():
    """Raises Unavailable when QEMU is not installed."""
    if not shutil.which(QEMU):
        raise Unavailable(f"{QEMU} is not installed: run tools/setup")


def _command(kernel, initramfs, status, memory, icount):
    command = [
        # Whatever ends this process, the guest does not stay behind.
        "setpriv", "--pdeathsig", "KILL",
        QEMU, "-machine", "pc", "-accel", "tcg", "-cpu", _CPU,
        "-smp", "1", "-m", str(memory), "-nographic", "-no-reboot", "-nodefaults",
        "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
        "-serial", f"file:/dev/fd/{status}",
        "-kernel", kernel.vmlinuz, "-initrd", f"/dev/fd/{initramfs}",
        "-append", _APPEND + ("" if icount else _APPEND_QUICK) + _APPEND_FOR.get(kernel.name, "")]
    return command + (["-icount", "shift=0,sleep=off"] if icount else [])


class _Console:
    """Reads what the guest prints until it ends, and passes it on."""

    def __init__(self, stream, out):
        self._stream, self._out, self._lines = stream, out, []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self._stream:
            text = _ESCAPES.sub("", line.decode(errors="replace"))
            self._lines.append(text)
            if self._out:
                self._out.write(text)
                self._out.flush()

    def text(self):
        """Everything so far; complete after the guest has ended."""
        self._thread.join(timeout=5)
        return "".join(self._lines)


def run(kernel, tree, *, timeout, out=None, memory=2048, icount=False):
    """Runs the tree's /job and returns its Result; the console goes to `out` line by line."""
    check_available()
    # Files without a name: nothing stays behind, however this ends.
    with tempfile.TemporaryFile() as initramfs, tempfile.TemporaryFile() as status:
        tree.write(initramfs)
        initramfs.flush()
        files, started = (initramfs.fileno(), status.fileno()), time.monotonic()
        with subprocess.Popen(_command(kernel, *files, memory, icount), pass_fds=files,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as process:
            console = _Console(process.stdout, out)
            try:
                process.wait(timeout=timeout)
            except subprocess.TimeoutExpired:
                raise GuestError(f"the guest was still running after {timeout:g}s") from None
            finally:
                process.kill()
                process.wait()
                text = console.text()
        status.seek(0)
        return Result(_exit_status(status.read(), text, process.returncode),
                      time.monotonic() - started, text)


def _exit_status(written, console, qemu_status):
    """What /init wrote to the second serial port."""
    for line in console.splitlines():
        if _PANIC in line:
            raise GuestError(f"the kernel died: {line.strip()}")
    words = written.split()
    if len(words) != 2 or words[0] != b"exit":
        raise GuestError(f"the guest ended without a result (QEMU's exit status: {qemu_status})")
    return int(words[1])
