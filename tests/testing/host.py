#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the tests need from this machine: cgroup v2, bpffs, network namespaces.

Run as a program it prepares the machine (mounts what is missing) and says why it cannot.
"""
import contextlib
import ctypes
import errno
import fcntl
import glob
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

BPFFS = "/sys/fs/bpf"
# Used only where no cgroup v2 hierarchy is mounted at all (a pure v1 host).
PRIVATE_CGROUP2 = "/run/tombolo/cgroup2"
CLONE_NEWNET = 0x40000000
# Seconds that a slow and busy machine may need for what is due at once. Waiting ends when the
# condition holds, so only a failure takes this long.
PATIENCE = 30.0
_libc = ctypes.CDLL(None, use_errno=True)


class HostError(Exception):
    """The machine cannot do what is asked; the message is for the person at the terminal."""


def run(*argv, **kwargs):
    """Runs a short command to its end, whatever its exit code."""
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, **kwargs)


def sh(*argv, check=True, **kwargs):
    """Runs a short command and returns its output; its error text is the exception's."""
    done = run(*argv, **kwargs)
    if check and done.returncode != 0:
        raise HostError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def mounts(fstype):
    """Mount points of a file system type, from mountinfo(5): fields around the lone '-'."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        for line in lines:
            left, right = line.split(" - ", 1)
            if right.split()[0] == fstype:
                found.append(left.split()[4].replace("\\040", " "))
    return found


def cgroup2_mount():
    """Where cgroup v2 is: /sys/fs/cgroup, /sys/fs/cgroup/unified beside v1, or anywhere else."""
    found = [path for path in mounts("cgroup2") if os.access(path, os.W_OK)]
    if not found:
        os.makedirs(PRIVATE_CGROUP2, exist_ok=True)
        sh("mount", "-t", "cgroup2", "none", PRIVATE_CGROUP2)
        found = [PRIVATE_CGROUP2]
    return found[0]


def ensure_bpffs():
    """Mounts bpffs where programs are pinned, unless it is there."""
    if BPFFS not in mounts("bpf"):
        if not os.path.isdir(BPFFS):
            raise HostError(f"{BPFFS} is missing: sysfs is not mounted, or the kernel has no BPF")
        sh("mount", "-t", "bpf", "-o", "mode=0700", "bpf", BPFFS)


def prepare():
    """Raises HostError with the missing capability's name when this machine will not do."""
    if os.geteuid() != 0:
        raise HostError("must run as root")
    for command in ("curl", "ip", "nsenter", "openssl"):
        if shutil.which(command) is None:
            raise HostError(f"the {command} command")
    ensure_bpffs()
    cgroup2_mount()
    raise_descriptor_limit()


def raise_descriptor_limit(wanted=65536):
    """Agents, servers and clients of the connection tests inherit it."""
    import resource  # pylint: disable=import-outside-toplevel
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, hard), max(wanted, hard)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def in_netns(path, function):
    """Returns function() called by a fresh thread inside a network namespace.

    setns(2) moves one thread only, and sockets stay in the namespace that made them, so
    the caller may go on using what it gets back.
    """
    box = {}

    def body():
        try:
            with open(path, "rb") as handle:
                if _libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns {path}")
            box["value"] = function()
        except BaseException as error:  # pylint: disable=broad-except
            box["error"] = error

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if "error" in box:
        raise box["error"]
    return box["value"]


def free_port():
    """Of this machine's loopback, below those that the kernel gives to connections: nobody has it
    until the caller binds it, but for the same choice by another test."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            port = random.randrange(16384, 32768)
            probe.bind(("127.0.0.1", port))
            return port


def spawn(argv, cgroup, netns, **kwargs):
    """Starts argv inside a cgroup and network namespace.

    The shell and nsenter replace themselves, so the pid is the command's own, and the
    cgroup is joined before anything of the command runs.
    """
    enter = 'echo 0 > "$1/cgroup.procs" && shift && exec nsenter --net="$@"'
    return subprocess.Popen(["/bin/sh", "-c", enter, "sh", cgroup, netns, "--", *argv], **kwargs)


def wait_until(what, condition, seconds=PATIENCE, every=0.05):
    """Polls until condition() is true and returns its value; HostError names `what`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise HostError(f"gave up after {seconds:g}s waiting for {what}")
        time.sleep(every)


def cgroup_pids(path):
    """Every process in a cgroup and below it."""
    pids = []
    for procs in glob.glob(f"{glob.escape(path)}/**/cgroup.procs", recursive=True):
        try:
            with open(procs, encoding="ascii") as lines:
                pids += [int(line) for line in lines]
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise
    return pids


def kill_cgroup(path):
    """Kills what runs in a cgroup tree: membership proves that the processes are ours."""
    def none_left():
        pids = cgroup_pids(path)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)  # a zombie of ours would stay a member
            except (ProcessLookupError, ChildProcessError):
                pass
        return not pids
    wait_until(f"processes in {path} to end", none_left)


def remove_cgroup(path):
    """Removes a cgroup tree, children first, with all processes in it."""
    if not os.path.isdir(path):
        return
    kill_cgroup(path)
    for directory, _, _ in os.walk(path, topdown=False):
        # A zombie that its parent has yet to reap keeps the directory busy for a moment.
        wait_until(f"{directory} to become removable", lambda d=directory: _rmdir(d))


def _rmdir(path):
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        raise
    return True


def rmdir_if_empty(path):
    """Removes a directory shared by topologies once the last of them is gone."""
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EBUSY):
            raise


def lock_directory(path, seconds=120):
    """Makes `path` and waits until no other run holds it; returns the descriptor that does.

    The kernel releases it with the process, so a crash leaves nothing locked.
    """
    def take():
        os.makedirs(path, exist_ok=True)
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The other run may have removed what we opened.
            if os.stat(path).st_ino == os.fstat(handle).st_ino:
                return handle
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(handle)
        return None
    return wait_until(f"another run of {os.path.basename(path)} to finish", take, seconds, 0.5)


if __name__ == "__main__":
    try:
        prepare()
    except HostError as problem:
        sys.exit(f"this machine cannot run the tests: {problem}")
