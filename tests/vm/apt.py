# SPDX-License-Identifier: Apache-2.0
"""Packages of other Debian releases, through an apt configuration of our own.

The archive's address is the one that this machine uses already; lists, caches and status are
private, so that the machine's own apt never hears of the other releases. Signatures are checked
against debian-archive-keyring, and nothing is taken without.
"""
import os
import re
import subprocess

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# -c is read after the machine's configuration: proxies stay, hooks go.
_CONFIG = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Default-Release;
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Etc "{root}/etc";
"""


class AptError(Exception):
    """What could not be had, and why."""


def _run(*argv, **kwargs):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False,
                              env=os.environ | {"LC_ALL": "C"}, **kwargs)
    except FileNotFoundError as error:
        raise AptError(f"{argv[0]} is missing: kernels are taken from a Debian archive") from error
    except subprocess.TimeoutExpired as error:
        raise AptError(f"{' '.join(argv)}: no end after 600s") from error
    if done.returncode != 0:
        text = [line for line in done.stderr.splitlines() if line.startswith(("E:", "Err"))]
        raise AptError(f"{' '.join(argv)}: {' '.join(text) or done.stderr.strip()}")
    return done.stdout


def archives():
    """(archive, security archive) of this machine's own apt. The second may be None."""
    found = {"main": None, "security": None}
    listing = _run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(CREATED_BY)")
    for line in listing.splitlines():
        uri, release, kind = line.rsplit(" ", 2)
        # "bookworm", and not what else a machine may have: backports, other vendors' suites.
        if kind == "Packages" and re.fullmatch(r"[a-z]+(-security)?", release):
            key = "security" if release.endswith("-security") else "main"
            found[key] = found[key] or uri.rstrip("/")
    if not found["main"]:
        raise AptError("this machine's apt has no Debian archive: `apt-get indextargets` is empty")
    return found["main"], found["security"]


class Apt:
    """The packages of some suites. `root` is a directory of its own."""

    def __init__(self, root, suites, security_suites=()):
        self._root = root
        main, security = archives()
        sources = [f"{main} {suite}" for suite in suites]
        if security:
            sources += [f"{security} {suite}" for suite in security_suites]
        for path in ("state/lists/partial", "cache/archives/partial", "etc/apt.conf.d",
                     "etc/auth.conf.d", "etc/preferences.d", "etc/sources.list.d",
                     "etc/trusted.gpg.d"):
            os.makedirs(f"{root}/{path}", exist_ok=True)
        self._write("status", "")
        self._write("apt.conf", _CONFIG.format(root=root))
        self._write("etc/sources.list", "".join(
            f"deb [signed-by={KEYRING}] {source} main\n" for source in sources))

    def _write(self, name, text):
        with open(f"{self._root}/{name}", "w", encoding="ascii") as out:
            out.write(text)

    def _apt(self, program, *arguments, **kwargs):
        return _run(program, "-c", f"{self._root}/apt.conf", *arguments, **kwargs)

    def update(self):
        """Fetches the package lists and checks their signatures."""
        if not os.path.exists(KEYRING):
            raise AptError(f"{KEYRING} is missing: install debian-archive-keyring")
        self._apt("apt-get", "update", "-o", "APT::Update::Error-Mode=any")

    def show(self, package):
        """The fields of a package's newest version."""
        text = self._apt("apt-cache", "--no-all-versions", "show", package)
        fields = dict(line.split(": ", 1) for line in text.splitlines()
                      if re.match(r"[A-Za-z-]+: ", line))
        if "Version" not in fields:
            raise AptError(f"{package}: not in the archive")
        return fields

    def download(self, packages, directory):
        """Fetches `name=version` packages into a directory and returns the files."""
        self._apt("apt-get", "download", *packages, cwd=directory)
        return sorted(f"{directory}/{name}" for name in os.listdir(directory)
                      if name.endswith(".deb"))
