# SPDX-License-Identifier: Apache-2.0
"""Another Debian release's OpenSSL, with the libc that it needs, for guests' programs.

What was built here runs on newer libraries of the same names too: so a guest with Debian 13's
shows what an agent does there, without a second build. The openssl command comes along, since Debian 12's
crashes on 3.5's libcrypto (`req -addext`). What is in the cache stays until somebody removes
build/vm-cache/openssl-7.
"""
import os
import shutil
import subprocess

from . import apt, cache, kernels

TRIXIE = (["trixie", "trixie-updates"], ["trixie-security"])
# Guests with that kernel have these instead of this machine's.
_SUITES = {"7": TRIXIE}
_PACKAGES = ("libc6", "libssl3t64", "openssl", "libzstd1", "zlib1g")
_LIBRARIES = "usr/lib/x86_64-linux-gnu"


def overlay(tree, kernel_name):
    """Puts what belongs to a kernel's guests over this machine's."""
    if kernel_name not in _SUITES:
        return
    try:
        root = get(f"openssl-{kernel_name}", _SUITES[kernel_name], _PACKAGES)
    except apt.AptError as error:
        raise kernels.KernelError(f"Debian's libraries for {kernel_name}: {error}") from error
    tree.copy("/usr/bin/openssl", f"{root}/usr/bin/openssl")
    libraries = f"{root}/{_LIBRARIES}"
    for name in sorted(os.listdir(libraries)):
        path, destination = f"{libraries}/{name}", f"/{_LIBRARIES}/{name}"
        if os.path.islink(path):
            tree.link(destination, os.readlink(path))
        elif os.path.isfile(path):
            tree.copy(destination, path)
    tree.link("/usr/lib64/ld-linux-x86-64.so.2", f"/{_LIBRARIES}/ld-linux-x86-64.so.2")


def get(entry, suites, packages):
    """The root of those packages, downloaded and unpacked unless the cache has the entry.
    `suites` are a release's and its security's."""
    path = f"{cache.directory()}/{entry}"
    with cache.locked(entry):
        if not os.path.isdir(path):
            _fetch(entry, suites, packages)
    return f"{path}/root"


def _fetch(entry, suites, packages):
    source = apt.Apt(f"{cache.directory()}/apt-{entry}", *suites)
    source.update()
    wanted = [f"{name}={source.show(name)['Version']}" for name in packages]

    def fill(work):
        os.mkdir(f"{work}/packages")
        for package in source.download(wanted, f"{work}/packages"):
            subprocess.run(["dpkg", "-x", package, f"{work}/root"], check=True)
        shutil.rmtree(f"{work}/packages")
    cache.publish_directory(entry, fill)
