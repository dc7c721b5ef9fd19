# SPDX-License-Identifier: Apache-2.0
"""An authority whose root's and cluster's keys are in a token: SoftHSM, by OpenSSL's provider."""
import base64
import os
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

from testing import case, host, yaml_text
from testing.topology import program
from vm import apt

from . import token

TRUST_DOMAIN = "hsm.example"
NODE = f"spiffe://{TRUST_DOMAIN}/cluster/east/node/"
_EXTENSIONS = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n"


class TokenTest(unittest.TestCase):
    """One directory with an authority and its token for each test."""

    def setUp(self):
        work = tempfile.TemporaryDirectory()
        self.addCleanup(work.cleanup)
        self.dir = work.name
        try:
            self.token = token.Token(self.dir)
        except (apt.AptError, OSError) as error:
            case.skip_without(f"Debian 13's SoftHSM and pkcs11 provider: {error}")
        self.address = f"127.0.0.1:{host.free_port()}"
        self.write("ca.yaml", yaml_text.to_yaml({
            "trust_domain": TRUST_DOMAIN, "store": {"sqlite": "ca.db"}, "keys": "keys",
            "serve": {"listen": self.address, "names": ["127.0.0.1"]}, "admin": {"listen": ""}}))
        self.write("ext.cnf", _EXTENSIONS)

    def path(self, name):
        """Of a file of this test."""
        return f"{self.dir}/{name}"

    def write(self, name, text):
        """A file."""
        with open(self.path(name), "w", encoding="ascii") as out:
            out.write(text)

    def run_ca(self, *arguments):
        """What subprocess.run() gives for a command."""
        return host.run(*self.token.argv(program("tombolo-ca")), *arguments, "--config",
                        self.path("ca.yaml"), env=self.token.environment)

    def command(self, *arguments):
        """The output of one that has to succeed."""
        done = self.run_ca(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def serve(self):
        """Until the test ends."""
        log = tempfile.TemporaryFile()
        self.addCleanup(log.close)
        server = subprocess.Popen(
            [*self.token.argv(program("tombolo-ca")), "serve", "--config", self.path("ca.yaml")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.token.environment)

        def stop():
            server.terminate()
            self.assertEqual(server.wait(timeout=host.PATIENCE), 0)
        self.addCleanup(stop)

        def answers():
            if server.poll() is not None:
                log.seek(0)
                self.fail(log.read().decode())
            return host.run("curl", "-sf", "--cacert", self.path("root.pem"),
                            f"https://{self.address}/.well-known/est/cacerts").returncode == 0
        host.wait_until("the authority to serve", answers)

    def make_authority(self):
        """The root's key and cluster east's are in the token, and nowhere else."""
        root = self.token.make_key("root")
        self.command("init", "--root-key", root)
        self.command("cluster", "add", "west")  # signed by the token; its own key is a file
        self.command("issue", "--spiffe-id", f"spiffe://{TRUST_DOMAIN}/cluster/west/node/n",
                     "--out", self.path("out"))
        os.rename(self.path("out/bundle.pem"), self.path("root.pem"))
        east = self.token.make_key("east")
        self.command("csr", "east", "--key", east, "--out", self.path("east.csr"))
        self.token.openssl("x509", "-req", "-in", self.path("east.csr"), "-CA",
                           self.path("root.pem"), "-CAkey", root, "-days", "50",
                           "-copy_extensions", "copyall", "-extfile", self.path("ext.cnf"),
                           "-out", self.path("east.pem"))
        self.command("install", "east", "--key", east, "--certificate", self.path("east.pem"))
        self.command("cluster", "add", "east")

    def enrol(self, number):
        """By token, with what everybody has. Returns the file of the certificates."""
        name = self.path(f"n{number}")
        secret = self.command("token", "add", f"{NODE}n{number}").strip()
        host.sh("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-subj", "/",
                "-outform", "DER", "-out", f"{name}.der")
        with open(f"{name}.der", "rb") as der:
            self.write(f"n{number}.b64", base64.encodebytes(der.read()).decode())
        body = host.sh("curl", "-sf", "--cacert", self.path("root.pem"), "-H",
                       "Content-Type: application/pkcs10", "-H",
                       f"Authorization: Bearer {secret}", "--data-binary", f"@{name}.b64",
                       f"https://{self.address}/.well-known/est/simpleenroll")
        with open(f"{name}.p7", "wb") as out:
            out.write(base64.b64decode(body))
        host.sh("openssl", "pkcs7", "-inform", "DER", "-in", f"{name}.p7", "-print_certs",
                "-out", f"{name}.pem")
        return f"{name}.pem"

    def test_what_keys_in_a_token_sign_is_good(self):
        self.make_authority()
        kept = os.listdir(self.path("keys"))
        self.assertEqual(sorted(name.rsplit("-", 1)[0] for name in kept),
                         ["server.authority", "west"], "a key of the token in a file")
        self.serve()
        # From several threads of the server at once.
        with ThreadPoolExecutor(4) as pool:
            for certificates in pool.map(self.enrol, range(8)):
                host.sh("openssl", "verify", "-x509_strict", "-CAfile", self.path("root.pem"),
                        "-untrusted", certificates, certificates)
        self.command("audit", "verify")

    def test_a_rotation_to_another_key_of_the_token(self):
        self.make_authority()
        second = self.token.make_key("second")
        self.command("root", "prepare", "--key", second)
        self.assertIn("prepared", self.command("root", "status"))

    def test_a_wrong_pin_is_refused_and_not_shown(self):
        root = self.token.make_key("root")
        self.write("pin", "13579")
        done = self.run_ca("init", "--root-key", root)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("object=root", done.stderr)
        self.assertNotIn("13579", done.stderr)
        self.assertNotIn("pin-source", done.stderr)

    def test_a_key_that_is_not_there(self):
        done = self.run_ca("init", "--root-key", self.token.uri("nobody"))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("object=nobody", done.stderr)


if __name__ == "__main__":
    case.main()
