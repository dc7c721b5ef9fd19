# SPDX-License-Identifier: Apache-2.0
"""Copies programs of this machine into a guest's file tree, with all that they load."""
import importlib.util
import os
import py_compile
import re
import shutil
import subprocess
import tempfile

_LOADER = "/lib64/ld-linux-x86-64.so.2"
# "libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x...)", and the loader's line without an arrow.
_LIBRARY = re.compile(r"^\s+(?:(\S+) => )?(/\S+) \(0x", re.MULTILINE)
_MISSING = re.compile(r"^\s+(\S+) => not found", re.MULTILINE)
# Nobody reads in the guest; Python's parts that no program needs.
_LEFT_OUT = re.compile(
    r"^/usr/share/(doc|man|lintian|locale|applications|pixmaps|binfmts|python3/(runtime|debpy))"
    r"|^/usr/lib/python3[^/]*/(idlelib|lib2to3|ensurepip|pydoc_data|turtledemo|distutils|config-)")
# /bin and its like are links into /usr on Debian 12, and in the guest.
_MERGED = re.compile(r"^/(bin|sbin|lib|lib64)(?=/|$)")


class ProgramError(Exception):
    """What is not on this machine."""


def guest_path(path):
    """Where a host's file is in the guest: the same place, without the links into /usr."""
    return _MERGED.sub(r"/usr/\1", path)


def add_file(tree, path, destination=None):
    """Copies one file, and what it loads if it is a program or library."""
    for copied in _copy(tree, path, guest_path(destination or path)):
        for library in _libraries(copied):
            # What a library loads is in the program's list already.
            _copy(tree, library, guest_path(library))


def _copy(tree, path, destination):
    """Copies a file and the links on the way to it; returns it if it is ELF and new."""
    while os.path.islink(path) and destination == guest_path(path):
        target = os.path.join(os.path.realpath(os.path.dirname(path)), os.readlink(path))
        tree.link(destination, os.readlink(path))
        path = os.path.normpath(target)
        destination = guest_path(path)
    if destination in tree or not os.path.isfile(path):
        return []
    tree.copy(destination, path)
    with open(path, "rb") as content:
        return [path] if content.read(4) == b"\x7fELF" else []


def _libraries(path):
    """Everything that the loader would map, the loader included. ldd(1) asks the same, but is
    a shell script that takes ten times as long."""
    done = subprocess.run([_LOADER, "--list", path], capture_output=True, text=True, check=False)
    missing = _MISSING.findall(done.stdout)
    if missing:
        raise ProgramError(f"{path} needs {', '.join(missing)}, which this machine lacks")
    return [library for _, library in _LIBRARY.findall(done.stdout)] + [_LOADER]


def add_program(tree, name):
    """A command of this machine, by name or path."""
    path = shutil.which(name)
    if not path:
        raise ProgramError(f"{name} is not installed: run tools/setup")
    add_file(tree, path)


def add_package(tree, package):
    """The files of an installed Debian package."""
    done = subprocess.run(["dpkg-query", "-L", package], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise ProgramError(f"{package} is not installed: run tools/setup")
    for path in done.stdout.splitlines():
        if not _LEFT_OUT.search(path) and os.path.isfile(path):
            add_file(tree, path)


def add_python(tree):
    """/usr/bin/python3 with its library, and the compiled files: compiling takes a guest long."""
    minor = os.path.basename(os.path.realpath("/usr/bin/python3"))  # python3.11
    for package in (f"{minor}-minimal", f"lib{minor}-minimal", f"lib{minor}-stdlib"):
        add_package(tree, package)
    add_file(tree, "/usr/bin/python3")
    for directory, _, names in os.walk(f"/usr/lib/{minor}"):
        for name in names:
            source = os.path.join(os.path.dirname(directory), name.split(".")[0] + ".py")
            if os.path.basename(directory) == "__pycache__" and source in tree:
                tree.copy(f"{directory}/{name}", f"{directory}/{name}")


def add_directory(tree, source, destination):
    """A directory's files; Python's come compiled."""
    for directory, subdirectories, names in os.walk(source):
        subdirectories[:] = sorted(set(subdirectories) - {"__pycache__"})
        for name in sorted(names):
            path = f"{directory}/{name}"
            target = f"{destination}/{os.path.relpath(path, source)}"
            add_file(tree, path, target)
            if name.endswith(".py"):
                _add_compiled(tree, path, target)


def _add_compiled(tree, path, target):
    """What Python would write into __pycache__."""
    compiled = importlib.util.cache_from_source(target)
    with tempfile.TemporaryDirectory() as work:
        py_compile.compile(path, cfile=f"{work}/pyc", dfile=target, doraise=True)
        with open(f"{work}/pyc", "rb") as content:
            tree.data(compiled, content.read())
