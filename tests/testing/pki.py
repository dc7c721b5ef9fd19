# SPDX-License-Identifier: Apache-2.0
"""Certificates that an authority of ours would never issue, made with the openssl command."""
import datetime
import os

from . import host

_CA_CONFIG = """
[ca]
default_ca = authority
[authority]
database = {dir}/index.txt
new_certs_dir = {dir}
serial = {dir}/serial
default_md = sha256
policy = any
unique_subject = no
[any]
organizationName = optional
"""
_LEAF_EXTENSIONS = """
basicConstraints = critical,CA:{ca}
keyUsage = critical,{usage}
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = {names}
"""


class Root:
    """A certificate authority in a directory of its own."""

    def __init__(self, directory):
        self.dir = directory
        os.makedirs(directory)
        self.certificate, self._key = f"{directory}/root.pem", f"{directory}/root.key"
        self._config = f"{directory}/ca.conf"
        with open(self._config, "w", encoding="ascii") as out:
            out.write(_CA_CONFIG.format(dir=directory))
        with open(f"{directory}/serial", "w", encoding="ascii") as out:
            out.write("1000\n")
        with open(f"{directory}/index.txt", "w", encoding="ascii"):
            pass
        host.sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:P-256", "-nodes", "-keyout", self._key, "-out",
                self.certificate, "-days", "30", "-subj", "/O=test root", "-addext",
                "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name, *uris, days=(-1, 1), ca=False):
        """A leaf with these URI SANs, valid from days[0] to days[1] counted from now.

        Returns (certificate, key) files.
        """
        base = f"{self.dir}/{name}"
        usage = "keyCertSign" if ca else "digitalSignature"
        with open(f"{base}.ext", "w", encoding="ascii") as out:
            out.write(_LEAF_EXTENSIONS.format(
                ca="TRUE" if ca else "FALSE", usage=usage,
                names=",".join(f"URI:{uri}" for uri in uris)))
        host.sh("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-keyout", f"{base}.key", "-out", f"{base}.csr", "-subj", "/O=test")
        start, end = (_asn1_time(offset) for offset in days)
        host.sh("openssl", "ca", "-batch", "-notext", "-config", self._config, "-cert",
                self.certificate, "-keyfile", self._key, "-in", f"{base}.csr", "-out",
                f"{base}.pem", "-startdate", start, "-enddate", end, "-extfile", f"{base}.ext")
        return f"{base}.pem", f"{base}.key"

    def trust(self, bundle):
        """Adds this root to a bundle."""
        with open(self.certificate, encoding="ascii") as source:
            root = source.read()
        with open(bundle, "a", encoding="ascii") as out:
            out.write(root)


def second_root(topo):
    """An authority of the test's own that every cluster trusts beside the topology's. Agents that
    run already take a moment to notice."""
    root = Root(f"{topo.dir}/good")
    for cluster in topo.clusters:
        root.trust(f"{cluster.dir}/bundle.pem")
    return root


def _asn1_time(days):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return when.strftime("%Y%m%d%H%M%SZ")
