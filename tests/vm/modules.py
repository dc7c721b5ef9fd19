# SPDX-License-Identifier: Apache-2.0
"""Which kernel modules the guest loads, with what they depend on, in an order that works."""
import glob
import gzip
import lzma
import os
import re

# Only those that a kernel has as modules: what it has built in, or under another name as
# libraries of other modules, is not missed here. tests/vm/inside/kernel_test.py sees whether
# kernel TLS really works.
WANTED = (
    # kernel TLS; gcm(aes) is made of ctr and ghash where aesni-intel does not do all of it
    "tls", "aesni-intel", "ctr", "ghash-clmulni-intel", "ghash-generic", "gcm", "seqiv",
    "chacha-x86_64", "chacha_generic", "chacha", "poly1305-x86_64", "poly1305_generic",
    "chacha20poly1305",
    # links between namespaces; what `ss` asks; delay and loss
    "veth", "dummy", "inet_diag", "tcp_diag", "sch_netem",
)
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_OPEN = {".ko": open, ".xz": lzma.open, ".gz": gzip.open}


def _read(path):
    with _OPEN[os.path.splitext(path)[1]](path, "rb") as source:
        return source.read()


def _name(path):
    """A module's name: files spell it with - or _, dependencies too, and not the same way."""
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


def ordered(directory, wanted=WANTED):
    """[(name, content)] of modules, uncompressed, dependencies before what needs them.

    Debian's packages come without modules.dep (depmod makes it when they are installed), but
    each module names what it depends on.
    """
    files = {_name(path): path
             for path in glob.glob(f"{glob.escape(directory)}/kernel/**/*.ko*", recursive=True)}
    found = {}

    def add(name):
        if name in found:
            return
        content = _read(files[name])
        for dependency in _DEPENDS.search(content)[1].decode().split(","):
            if dependency:
                add(dependency.replace("-", "_"))
        found[name] = content
    for name in wanted:
        if _name(name) in files:
            add(_name(name))
    return list(found.items())
