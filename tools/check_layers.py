#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when a module uses what it may not: the module table of ARCHITECTURE.md.

Checks #include lines and the targets that a module's CMakeLists.txt links.
Takes the repository's root as an optional argument.
"""
import pathlib
import re
import sys

BELOW_ADMIN = {"base", "net", "mesh", "tls", "etcd", "datapath", "identity", "policy", "balance", "tunnel", "relay",
               "gateway", "link", "source", "directory"}
ALLOWED = {
    "base": set(),
    "net": {"base"},
    "mesh": {"base", "net"},
    "tls": {"base", "net"},
    "etcd": {"base", "net", "tls"},
    "datapath": {"base", "net", "mesh"},
    "identity": {"base", "net", "mesh", "tls"},
    "policy": {"base", "net", "mesh"},
    "balance": {"base", "net", "mesh"},
    "tunnel": {"base", "net", "mesh", "tls"},
    "relay": {"base", "net", "tls", "tunnel"},
    "gateway": {"base", "net", "mesh", "tls", "tunnel"},
    "link": {"base", "net", "tls"},
    "source": {"base", "net", "mesh"},
    "directory": {"base", "net", "mesh", "etcd", "source"},
    "admin": BELOW_ADMIN,
    "agent": BELOW_ADMIN | {"admin"},
    "cli": {"base", "net", "tls", "etcd", "source"},
    "ca": {"base", "net", "tls", "etcd", "mesh", "source", "admin"},  # its own program beside userspace/
}
# Include text -> the only modules, or directories of one, that may have it, and the rule in words.
EXCLUSIVE = [
    (re.compile(r"openssl/"), {"tls"}, "tls is the only user of OpenSSL"),
    (re.compile(r"boost/(asio|beast)/ssl"), {"tls", "identity", "ca/server"}, "HTTPS is of tls, identity and ca/server"),
    (re.compile(r"bpf/|linux/bpf|.*\.skel\.h$"), {"datapath"}, "datapath is the only user of libbpf and skeletons"),
]
EXCLUSIVE_TARGETS = [
    (re.compile(r"OpenSSL::"), {"tls"}, "tls is the only user of OpenSSL"),
    (re.compile(r"PkgConfig::libbpf$|.*_skel$"), {"datapath"}, "datapath is the only user of libbpf and skeletons"),
]
INCLUDE = re.compile(r'\s*#\s*include\s*(["<])([^">]+)[">]')


def check_use(place, name, prefix, exclusive):
    """The rule that `place`, a directory, breaks by using `name`, or None."""
    module = place.split("/")[0]
    if prefix != module and prefix in ALLOWED and prefix not in ALLOWED[module]:
        allowed = " ".join(sorted(ALLOWED[module])) or "no other module"
        return f"{module} may not use {prefix} (it may use: {allowed})"
    for pattern, owners, rule in exclusive:
        if pattern.match(name) and not {module, place} & owners:
            return f"{place} may not use {name}: {rule}"
    return None


def check_source(place, path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        include = INCLUDE.match(line)
        if not include:
            continue
        quote, name = include.groups()
        if name.startswith("."):
            yield number, f"'{name}': includes start at userspace/, not at this file"
        prefix = name.split("/")[0] if quote == '"' and "/" in name else None
        if rule := check_use(place, name, prefix, EXCLUSIVE):
            yield number, rule


def check_cmake(place, path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        # The first word after the bracket is the target that is being defined.
        line = re.sub(r"^\s*\w+\(\s*[\w-]+", "", line.split("#")[0])
        for word in re.findall(r"[\w:./-]+", line):
            if rule := check_use(place, word, word, EXCLUSIVE_TARGETS):
                yield number, rule


def check_module(module, directory):
    for path in sorted(directory.rglob("*")):
        place = "/".join((module, *path.parent.relative_to(directory).parts))
        if path.suffix in {".cc", ".h", ".c"}:
            found = check_source(place, path)
        elif path.name == "CMakeLists.txt":
            found = check_cmake(place, path)
        else:
            continue
        for number, rule in found:
            yield f"{path}:{number}: {rule}"


def check_table(userspace):
    """The table, the build and the directories name the same modules."""
    cmake = userspace / "CMakeLists.txt"
    built = set()
    for match in re.finditer(r"foreach\(module ([^)]*)\)|add_subdirectory\((\w+)\)", cmake.read_text(encoding="utf-8")):
        built |= set((match[1] or match[2]).split())
    present = {path.name for path in userspace.iterdir() if path.is_dir()}
    known = set(ALLOWED) - {"ca"}
    for module in sorted((built | present) - known):
        yield f"{cmake}:1: module {module} is not in the table of tools/check_layers.py"
    for module in sorted(known - built):
        yield f"{cmake}:1: module {module} is in the table of tools/check_layers.py and not built"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
    problems = list(check_table(root / "userspace"))
    for module in sorted(ALLOWED):
        directory = root / "ca" if module == "ca" else root / "userspace" / module
        problems += check_module(module, directory)
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
