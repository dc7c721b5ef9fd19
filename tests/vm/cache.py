# SPDX-License-Identifier: Apache-2.0
"""Where kernels and initramfs layers are kept between runs: build/vm-cache, or TOMBOLO_VM_CACHE.

Everything in it can be removed at any time when no test runs; the next run makes it again.
"""
import contextlib
import fcntl
import os
import shutil
import tempfile

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def directory():
    """The cache's directory, made when it is missing."""
    path = os.path.abspath(os.environ.get("TOMBOLO_VM_CACHE")
                           or os.path.join(REPO, "build/vm-cache"))
    os.makedirs(path, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(name):
    """Holds one entry's lock: two tests that start at once make it once. The kernel releases
    the lock with the process, so a crash leaves nothing locked."""
    with open(f"{directory()}/{name}.lock", "w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def publish_directory(name, fill):
    """Makes the directory entry `name` with fill(path), visible only when it is complete.

    Call with the entry's lock held: then what an interrupted run left is nobody's.
    """
    final, prefix = f"{directory()}/{name}", f".{name}.new-"
    for entry in os.listdir(directory()):
        if entry.startswith(prefix):
            shutil.rmtree(f"{directory()}/{entry}")
    work = tempfile.mkdtemp(prefix=prefix, dir=directory())
    try:
        os.chmod(work, 0o755)
        fill(work)
        if os.path.isdir(final):
            # A rename cannot replace a directory that is not empty.
            os.rename(final, f"{work}/replaced")
        os.rename(work, final)
        shutil.rmtree(f"{final}/replaced", ignore_errors=True)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return final
