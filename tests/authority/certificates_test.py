# SPDX-License-Identifier: Apache-2.0
"""Every kind of certificate that an authority signs, and its bundle, before a rotation, in it and
after it."""
import json
import unittest

from testing import case, est, host, spiffe
from testing.loopback import LoopbackAuthority, svid

DOMAIN = "test.example"
NODE = f"spiffe://{DOMAIN}/cluster/east/node/n1"


class CertificatesTest(unittest.TestCase):
    """One authority with one cluster."""

    def setUp(self):
        case.need("curl", "openssl")
        self.authority = LoopbackAuthority(DOMAIN)
        self.addCleanup(self.authority.stop)
        self.authority.command("cluster", "add", "east")
        self.authority.start()

    def bundle(self):
        """The published trust bundle."""
        return host.sh("curl", "-sSf", "--cacert", self.authority.roots,
                       f"{self.authority.url}/.well-known/spiffe/bundle")

    def await_roots(self, count):
        """Waits until so many roots are published, and has them from then on."""
        host.wait_until(f"{count} roots", lambda: len(json.loads(self.bundle())["keys"]) == count)
        self.authority.fetch_roots()

    def served(self):
        """The server's own chain, as its clients get it, in a file."""
        shown = host.sh("openssl", "s_client", "-connect", f"localhost:{self.authority.port}",
                        "-showcerts", "-x509_strict", "-verify_return_error", "-verify_hostname",
                        "localhost", "-CAfile", self.authority.roots, input="")
        path = f"{self.authority.dir}/served.pem"
        with open(path, "w", encoding="ascii") as out:
            out.write(shown)
        return path

    def judge(self):
        """All that can be had now."""
        roots = spiffe.certificates(self.authority.roots)
        for root in roots:
            spiffe.assert_authority(self, root, DOMAIN, below=1)
            host.sh("openssl", "verify", "-x509_strict", "-CAfile", self.authority.roots, input=root)
        spiffe.assert_bundle(self, self.bundle(), roots)
        key = f"{self.authority.dir}/node.key"
        token = self.authority.command("token", "add", NODE)
        leaf, _ = svid(self.authority, "node", est.request(f"URI:{NODE}", key_file=key), key,
                       "-u", f":{token}")
        for path, names in ((leaf, [NODE]), (self.served(), [f"spiffe://{DOMAIN}/ca",
                                                             "DNS:localhost"])):
            spiffe.assert_verifies(path, self.authority.roots)
            own, above = spiffe.certificates(path)
            spiffe.assert_svid(self, own, *names)
            spiffe.assert_authority(self, above, DOMAIN, below=0)
        return above

    def test_through_a_rotation(self):
        old = self.judge()
        self.authority.command("root", "prepare")
        self.await_roots(2)
        self.assertEqual(self.judge(), old, "who signs is the same")
        # The node of this test neither follows the bundle nor renews: it would be waited for.
        self.authority.command("root", "activate", "--force")
        host.wait_until("the new root to vouch for the server",
                        lambda: spiffe.certificates(self.served())[1] != old)
        new = self.judge()
        self.authority.command("root", "taint")
        self.authority.command("root", "revoke", "--force")
        self.await_roots(1)
        self.assertEqual(self.judge(), new)


if __name__ == "__main__":
    case.main()
