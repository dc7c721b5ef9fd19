# SPDX-License-Identifier: Apache-2.0
"""SoftHSM and OpenSSL's pkcs11 provider, as Debian 13 has them, for the programs of this tree.

Debian 12 has no such provider. So the programs run on Debian 13's OpenSSL and libc, by the loader
that comes with it; both are in the cache of tests/vm.
"""
import os

from testing import host
from vm import userland

_PACKAGES = ("libc6", "libgcc-s1", "libssl3t64", "libstdc++6", "libzstd1", "zlib1g", "openssl",
             "libsqlite3-0", "libsofthsm2", "softhsm2", "pkcs11-provider")
LABEL, PIN = "ca", "24680"
# As docs/authority.md has it. A section must not be called "default", which is OpenSSL's own name.
_OPENSSL = """\
openssl_conf = openssl_init

[openssl_init]
providers = providers

[providers]
default = default_provider
pkcs11 = pkcs11_provider

[default_provider]
activate = 1

[pkcs11_provider]
module = {libraries}/ossl-modules/pkcs11.so
pkcs11-module-path = {libraries}/softhsm/libsofthsm2.so
pkcs11-module-quirks = no-deinit
pkcs11-module-encode-provider-uri-to-pem = true
activate = 1
"""


class Token:
    """A token with a PIN, in a directory of its own."""

    def __init__(self, directory):
        self._root = userland.get("pkcs11", userland.TRIXIE, _PACKAGES)
        self._libraries = f"{self._root}/usr/lib/x86_64-linux-gnu"
        self.pin_file = f"{directory}/pin"
        self._write(self.pin_file, PIN)
        os.mkdir(f"{directory}/tokens")
        self._write(f"{directory}/softhsm2.conf", f"directories.tokendir = {directory}/tokens\n"
                    "objectstore.backend = file\nlog.level = ERROR\n")
        self._write(f"{directory}/openssl.cnf", _OPENSSL.format(libraries=self._libraries))
        # SoftHSM itself uses OpenSSL, and must not find the provider that uses SoftHSM.
        self._softhsm = os.environ | {"SOFTHSM2_CONF": f"{directory}/softhsm2.conf"}
        self.environment = self._softhsm | {"OPENSSL_CONF": f"{directory}/openssl.cnf"}
        host.sh(*self.argv(f"{self._root}/usr/bin/softhsm2-util"), "--module",
                f"{self._libraries}/softhsm/libsofthsm2.so", "--init-token", "--free",
                "--label", LABEL, "--pin", PIN, "--so-pin", PIN[::-1], env=self._softhsm)

    @staticmethod
    def _write(path, text):
        with open(path, "w", encoding="ascii") as out:
            out.write(text)

    def argv(self, program):
        """How to start a program on those libraries."""
        return [f"{self._libraries}/ld-linux-x86-64.so.2", "--library-path", self._libraries,
                program]

    def openssl(self, *arguments):
        """The openssl command with the provider."""
        return host.sh(*self.argv(f"{self._root}/usr/bin/openssl"), *arguments,
                       env=self.environment)

    def uri(self, name):
        """Of a private key."""
        return f"pkcs11:token={LABEL};object={name};type=private?pin-source=file:{self.pin_file}"

    def make_key(self, name):
        """A P-256 key that never leaves the token. Returns its URI."""
        self.openssl("genpkey", "-propquery", "provider=pkcs11", "-algorithm", "EC",
                     "-pkeyopt", "ec_paramgen_curve:P-256",
                     "-pkeyopt", f"pkcs11_uri:{self.uri(name).replace(';type=private', '')}",
                     "-out", "/dev/null")
        return self.uri(name)
