# SPDX-License-Identifier: Apache-2.0
"""Runs a command in a guest with one of Debian's kernels and this build tree's programs.

    cd tests
    python3 -m vm.run --kernel 6.1 -- bpf_datapath_test --gtest_filter='Connect*'
    python3 -m vm.run --kernel 7 -- python3 -B -m netns.relay_test
    python3 -m vm.run --kernel 6.12 --with strace -- strace -f tombolo --version

The guest has tests/, Python, what the tests call, and from the build tree (TOMBOLO_BIN) the
agent, the CLI, the authority and what the command names. With kernel 7 they meet Debian 13's
libc and OpenSSL. TOMBOLO_* and GTEST_* variables go with
the command. Its exit status is this program's, its output the guest's console.
"""
import argparse
import os
import sys

from . import cache, guest, initramfs, kernels, programs, userland

_SKIPPED = 77  # ctest's SKIP_RETURN_CODE
_GUEST_BIN, _GUEST_TESTS = "/tombolo/bin", "/tombolo/tests"
# What tests/testing and tests/netns call.
_COMMANDS = ("curl", "ip", "mount", "nsenter", "openssl", "umount")
_PROGRAMS = ("tombolo", "tombolo-agent", "tombolo-ca")
_TEST_DIRECTORIES = ("netns", "testing", "vm")
_KEPT_HERE = ("TOMBOLO_BIN", "TOMBOLO_VM_CACHE")


def binaries():
    """The directory of the built programs."""
    return os.environ.get("TOMBOLO_BIN") or f"{cache.REPO}/build/dev/bin"


def build_tree(kernel, argv, commands=(), packages=()):
    """A guest's whole file tree, `argv` its job."""
    tree = initramfs.base(kernel)
    programs.add_python(tree)
    for name in (*_COMMANDS, *commands):
        programs.add_program(tree, name)
    for name in packages:
        programs.add_package(tree, name)
    for path in ("/etc/ssl/openssl.cnf", "/usr/lib/ssl/openssl.cnf"):
        programs.add_file(tree, path)
    for name in _TEST_DIRECTORIES:
        programs.add_directory(tree, f"{cache.REPO}/tests/{name}", f"{_GUEST_TESTS}/{name}")
    _add_built(tree, argv)
    userland.overlay(tree, kernel.name)
    initramfs.add_job(tree, _in_guest(argv), _GUEST_TESTS, _environment())
    return tree


def _add_built(tree, argv):
    found = [name for name in os.listdir(binaries()) if name in _PROGRAMS or name in argv]
    for name in sorted(found):
        programs.add_file(tree, f"{binaries()}/{name}", f"{_GUEST_BIN}/{name}")


def _in_guest(argv):
    return [f"{_GUEST_BIN}/{word}" if os.path.isfile(f"{binaries()}/{word}") else word
            for word in argv]


def _environment():
    kept = {key: value for key, value in os.environ.items()
            if key.startswith(("TOMBOLO_", "GTEST_")) and key not in _KEPT_HERE}
    return kept | {"TOMBOLO_BIN": _GUEST_BIN}


def _options():
    parser = argparse.ArgumentParser(prog="vm.run", description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", required=True, choices=kernels.SUITES)
    parser.add_argument("--icount", action="store_true",
                        help="a nanosecond of guest time is an instruction: repeatable counts")
    parser.add_argument("--memory", type=int, default=2048, metavar="MIB")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS")
    parser.add_argument("--with", dest="commands", action="append", default=[],
                        metavar="COMMAND", help="take this command of the machine along, too")
    parser.add_argument("--package", dest="packages", action="append", default=[],
                        metavar="PACKAGE", help="... or an installed Debian package's files")
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def _skip(reason):
    print(f"vm.run: {reason}", file=sys.stderr)
    sys.exit(1 if os.environ.get("TOMBOLO_NO_SKIP") == "1" else _SKIPPED)


def main():
    """The command line."""
    options = _options()
    try:
        guest.check_available()
        kernel = kernels.get(options.kernel)
        tree = build_tree(kernel, options.command, options.commands, options.packages)
    except (guest.Unavailable, kernels.KernelError, programs.ProgramError) as error:
        _skip(error)
    try:
        result = guest.run(kernel, tree, timeout=options.timeout, out=sys.stdout,
                           memory=options.memory, icount=options.icount)
    except guest.GuestError as error:
        sys.exit(f"vm.run: {error}")
    print(f"vm.run: Linux {kernel.release}: exit status {result.status}"
          f" after {result.seconds:.1f}s")
    sys.exit(result.status)


if __name__ == "__main__":
    main()
