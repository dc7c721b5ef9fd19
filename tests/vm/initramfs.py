# SPDX-License-Identifier: Apache-2.0
"""Builds a guest's file system: busybox, a kernel's modules, programs of this machine, a job.

It is never compressed: decompressing takes the emulated processor far longer than QEMU needs to
copy it, and building one takes this machine well under a second, so that none is kept.
"""
import os
import shlex
import subprocess

from . import cpio, modules, programs

_BUSYBOX = "/usr/bin/busybox"
_HERE = os.path.dirname(os.path.abspath(__file__))
_DIRECTORIES = ("/dev", "/proc", "/sys", "/run", "/tmp", "/root", "/etc", "/var/log", "/var/tmp",
                "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64")
_TEXTS = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"
                   "www-data:x:33:33::/:/usr/sbin/nologin\n"
                   "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "/etc/group": "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost guest\n::1 localhost guest\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


def base(kernel):
    """What every guest has: busybox, modules, /init."""
    tree = cpio.Tree()
    for path in _DIRECTORIES:
        tree.directory(path)
    for name in ("bin", "sbin", "lib", "lib64"):
        tree.link(f"/{name}", f"usr/{name}")
    tree.link("/var/run", "../run")
    for path, text in _TEXTS.items():
        tree.text(path, text)
    _add_busybox(tree)
    found = modules.ordered(kernel.modules)
    for name, content in found:
        tree.data(f"/usr/lib/modules/{name}.ko", content)
    tree.text("/usr/lib/modules/order", "".join(f"{name}\n" for name, _ in found))
    with open(f"{_HERE}/init", encoding="utf-8") as source:
        tree.text("/init", source.read(), 0o755)
    return tree


def _add_busybox(tree):
    """Its applets are found after every real command (see PATH in init). The shell is this
    machine's: busybox's own would run applets without looking at PATH."""
    host = "/bin/busybox"
    if not os.path.exists(host):
        raise programs.ProgramError("busybox is not installed: run tools/setup")
    tree.copy(_BUSYBOX, host)
    applets = subprocess.run([host, "--list"], capture_output=True, text=True, check=True)
    for name in applets.stdout.split():
        tree.link(f"/usr/lib/busybox/{name}", _BUSYBOX)
    tree.link("/usr/bin/env", _BUSYBOX)
    programs.add_file(tree, "/bin/sh")


def add_job(tree, argv, directory="/root", environment=None):
    """/job: the command that /init runs."""
    lines = ["#!/bin/sh", f"cd {shlex.quote(directory)} || exit 126"]
    lines += [f"export {key}={shlex.quote(value)}" for key, value in (environment or {}).items()]
    lines.append(f"exec {shlex.join(argv)}")
    tree.text("/job", "\n".join(lines) + "\n", 0o755)
