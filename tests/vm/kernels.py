# SPDX-License-Identifier: Apache-2.0
"""Debian's cloud kernels, unpacked into the cache; nothing is installed.

    python3 -m vm.kernels [--update] [KERNEL...]    fetches them ahead, shows what there is

A kernel that is in the cache stays: --update replaces it when the archive has a newer one.
"""
import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

from . import apt, cache

# Name of a kernel in options and tests: its suites, its security suites. 7 is whatever series
# backports has at the moment.
SUITES = {
    "6.1": (["bookworm", "bookworm-updates"], ["bookworm-security"]),
    "6.12": (["trixie", "trixie-updates"], ["trixie-security"]),
    "7": (["trixie-backports"], []),
}
_META = "linux-image-cloud-amd64"
# Since 7.x the image, the modules and the configuration are packages of their own.
_PARTS = re.compile(r"(linux-(?:image|binary|modules|base)-\d\S*-cloud-amd64) \(= (\S+)\)")


class KernelError(Exception):
    """Why a kernel could not be had."""


@dataclass(frozen=True)
class Kernel:
    """One unpacked kernel: `release` is what uname -r says, `version` the package's."""

    name: str
    release: str
    version: str
    vmlinuz: str
    modules: str


def get(name, update=False):
    """The kernel of that name, downloaded unless the cache has it."""
    if name not in SUITES:
        raise KernelError(f"no kernel '{name}': one of {', '.join(SUITES)}")
    entry = f"kernel-{name}"
    path = f"{cache.directory()}/{entry}"
    with cache.locked(entry):
        if update or not os.path.isdir(path):
            try:
                _fetch(name, path)
            except apt.AptError as error:
                raise KernelError(f"Debian's kernel {name}: {error}") from error
    return _describe(name, path)


def _fetch(name, path):
    """Downloads what the archive has, unless that is what the cache has."""
    suites, security = SUITES[name]
    source = apt.Apt(f"{cache.directory()}/apt-{name}", suites, security)
    source.update()
    packages, version = _packages(source)
    if os.path.isdir(path) and _describe(name, path).version == version:
        return

    def fill(work):
        os.mkdir(f"{work}/packages")
        for package in source.download(packages, f"{work}/packages"):
            subprocess.run(["dpkg", "-x", package, f"{work}/root"], check=True)
        shutil.rmtree(f"{work}/packages")
        with open(f"{work}/kernel.json", "w", encoding="ascii") as out:
            json.dump({"version": version}, out)
        _describe(name, work)
    cache.publish_directory(f"kernel-{name}", fill)


def _packages(source):
    """(name=version of every package of the newest kernel, its version)."""
    version, found, queue = None, {}, [_META]
    while queue:
        fields = source.show(queue.pop())
        for package, wanted in _PARTS.findall(fields.get("Depends", "")):
            if package not in found:
                found[package], version = wanted, version or wanted
                queue.append(package)
    if not found:
        raise apt.AptError(f"{_META} does not name a kernel")
    return [f"{package}={wanted}" for package, wanted in sorted(found.items())], version


def _describe(name, path):
    """What is in an unpacked directory; packages changed their layout more than once."""
    with open(f"{path}/kernel.json", encoding="ascii") as data:
        version = json.load(data)["version"]
    modules = glob.glob(f"{path}/root/lib/modules/*") + glob.glob(f"{path}/root/usr/lib/modules/*")
    images = glob.glob(f"{path}/root/boot/vmlinuz-*") + [
        image for found in modules for image in glob.glob(f"{found}/vmlinuz")]
    if len(modules) != 1 or len(images) != 1:
        raise KernelError(f"{path}: {len(images)} images and {len(modules)} sets of modules"
                          f" in version {version}, not one of each")
    return Kernel(name, os.path.basename(modules[0]), version, images[0], modules[0])


def main():
    """The command line."""
    parser = argparse.ArgumentParser(prog="vm.kernels", description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="look for newer versions")
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help="6.1, 6.12, 7; default all")
    options = parser.parse_args()
    for name in options.kernels or SUITES:
        try:
            kernel = get(name, options.update)
        except KernelError as error:
            sys.exit(f"vm.kernels: {error}")
        print(f"{kernel.name:5} {kernel.release:28} {kernel.version:20} {kernel.vmlinuz}")


if __name__ == "__main__":
    main()
