# SPDX-License-Identifier: Apache-2.0
"""What strangers with curl and openssl get from a running authority, and why they do not."""
import base64
import contextlib
import json
import os
import re
import socket
import ssl
import threading
import time
import unittest

from testing import case, est, host, service_accounts, spiffe
from testing.loopback import LoopbackAuthority, svid
from testing.service_accounts import ServiceAccounts

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/authority.md")
DOMAIN = "test.example"
EAST = f"spiffe://{DOMAIN}/cluster/east"
NODE, OTHER_NODE = f"{EAST}/node/n1", f"{EAST}/node/n2"
WEB, DB = f"{EAST}/ns/shop/sa/web", f"{EAST}/ns/shop/sa/db"
DIRECTORY = {
    "trust_domain": DOMAIN,
    "clusters": [{"name": "east", "nodes": [{"name": "n1", "tunnel": "10.0.0.1:15008"},
                                            {"name": "n2", "tunnel": "10.0.0.2:15008"}]}],
    "workloads": [{"name": name, "cluster": "east", "node": node, "namespace": "shop",
                   "service_account": name} for name, node in (("web", "n1"), ("db", "n2"))],
}


def bearer(token):
    """curl's options that show a token."""
    return "-H", f"Authorization: Bearer {token}"


def spoiled(body):
    """A request whose last bit, of its signature, is another."""
    der = bytearray(base64.b64decode(body))
    der[-1] ^= 1
    return base64.b64encode(der).decode()


class EnrolmentTest(unittest.TestCase):
    """One authority for all tests, whose node n1 has joined."""

    @classmethod
    def setUpClass(cls):
        case.need("curl", "openssl")
        cls.authority = LoopbackAuthority(DOMAIN, DIRECTORY)
        cls.addClassCleanup(cls.authority.stop)
        cls.accounts = ServiceAccounts(f"{cls.authority.dir}/accounts.key")
        with open(f"{cls.authority.dir}/jwks.json", "w", encoding="ascii") as out:
            out.write(cls.accounts.jwks())
        cls.authority.command("cluster", "add", "east", "--issuer", service_accounts.ISSUER,
                              "--jwks", f"{cls.authority.dir}/jwks.json")
        cls.authority.start()
        cls.spent = cls.token(NODE)
        cls.node = cls.enrol("node", NODE, *bearer(cls.spent))

    @classmethod
    def token(cls, spiffe_id, ttl="1h"):
        """A new join token."""
        return cls.authority.command("token", "add", spiffe_id, "--ttl", ttl)

    @classmethod
    def enrol(cls, name, spiffe_id, *options, **kwargs):
        """An SVID: curl's options that show it."""
        key = f"{cls.authority.dir}/{name}.key"
        body = est.request(f"URI:{spiffe_id}", key_file=key)
        chain, key = svid(cls.authority, name, body, key, *options, **kwargs)
        return "--cert", chain, "--key", key

    def issued(self):
        """The serial numbers of all certificates that were issued."""
        return {entry["serial"] for entry in json.loads(
            self.authority.command("list", "--all", "--json"))}

    def refused(self):
        """Name -> (status, reason, body, curl's options, other arguments of the request)."""
        web = est.request(f"URI:{WEB}")
        jwt = self.accounts.token
        other_cluster = ServiceAccounts(f"{self.authority.dir}/other.key")
        token = self.token(WEB)
        by_token = bearer(token)
        return {
            # Who asks.
            "no credential": (401, "neither a token nor a client certificate", web, ()),
            "unknown token": (401, "is not known", web, bearer(token[:-4] + "aaaa")),
            "expired token": (401, "the join token has expired", web,
                              bearer(self.token(WEB, "1ms"))),
            "replayed token": (401, "used already", est.request(), bearer(self.spent)),
            "renewal by token": (401, "needs the SVID", web, by_token,
                                 {"operation": "simplereenroll"}),
            "wrong audience": (401, "not for the audience 'tombolo-ca'", web,
                               bearer(jwt(aud=["vault"]))),
            "expired JWT": (401, "has expired", web, bearer(jwt(lifetime=-120))),
            "unknown issuer": (401, "no registered cluster has the issuer", web,
                               bearer(jwt(iss="https://elsewhere.example"))),
            "signature of another": (401, "signature is not by its key", web,
                                     bearer(other_cluster.token())),
            # What for.
            "another's identity by token": (403, "not for", est.request(f"URI:{DB}"), by_token),
            "workload of another node": (403, "has no workload", est.request(f"URI:{DB}"),
                                         self.node),
            "pod of another node": (403, "bound to node east/n2, not to east/n1",
                                    est.request(f"URI:{DB}"),
                                    (*self.node, *bearer(jwt("db", "n2")))),
            "another node": (403, "has no workload", est.request(f"URI:{OTHER_NODE}"), self.node),
            "another's renewal": (403, "not for", web, self.node,
                                  {"operation": "simplereenroll"}),
            # The request itself.
            "two identities": (400, "more than one URI",
                               est.request(f"URI:{WEB}", f"URI:{DB}"), by_token),
            "no identity": (400, "is not a SPIFFE ID", est.request("URI:https://web"), by_token),
            "bad proof of possession": (400, "signature is not by its key", spoiled(web),
                                        by_token),
            "weak key": (400, "1024 bits", est.request(f"URI:{WEB}", key=("rsa:1024",)), by_token),
            "unknown curve": (400, "curve secp256k1", est.request(
                f"URI:{WEB}", key=("ec", "-pkeyopt", "ec_paramgen_curve:secp256k1")), by_token),
            "not PKCS#10": (400, "not a PKCS#10 request",
                            base64.b64encode(b"0\x03\x02\x01\x00").decode(), by_token),
            "not base64": (400, "body is not base64", "<xml/>", by_token),
            "wrong content type": (415, "application/pkcs10", web, by_token,
                                   {"content_type": "application/json"}),
            "oversized": (413, "too large", "A" * 100000, by_token),
            "oversized request": (413, "larger than 16 KiB",
                                  base64.b64encode(b"0" * 17000).decode(), by_token),
        }

    def test_what_is_refused(self):
        before, table = self.issued(), self.refused()
        for name, (status, reason, body, options, *rest) in table.items():
            with self.subTest(name):
                answer = self.authority.enrol(body, *options, **(rest[0] if rest else {}))
                self.assertEqual(answer[0], status, answer[1])
                self.assertIn(reason, answer[1])
                self.assertNotIn("\n", answer[1], "the reason is one line")
        self.assertEqual(self.issued(), before)
        # The token that was shown with all these is still good.
        status, text = self.authority.enrol(est.request(f"URI:{WEB}"), *table["oversized"][3])
        self.assertEqual(status, 200, text)

    def test_a_revoked_node_gets_nothing(self):
        node = self.enrol("lost", OTHER_NODE, *bearer(self.token(OTHER_NODE)))
        self.authority.command("revoke", "node", "east/n2", "--reason", "lost")

        def ask(name, *options, **kwargs):
            return self.authority.enrol(est.request(f"URI:{name}"), *options, **kwargs)
        # Not even a handshake, once the server has heard of it.
        host.wait_until("its handshake to be refused",
                        lambda: ask(OTHER_NODE, *node, operation="simplereenroll")[0] == 0)
        status, text = ask(DB, *bearer(self.accounts.token("db", "n2")))
        self.assertEqual((status, "revoked" in text), (403, True), text)

    def drip(self, first, answers):
        """Sends `first`, and then a byte now and then until there is an answer."""
        context = ssl.create_default_context(cafile=self.authority.roots)
        with socket.create_connection(("localhost", self.authority.port)) as sock, \
                context.wrap_socket(sock, server_hostname="localhost") as tls:
            tls.sendall(first)
            tls.settimeout(0.5)
            deadline = time.monotonic() + host.PATIENCE
            while time.monotonic() < deadline:
                try:
                    answers.append(tls.recv(4096).decode())
                    return
                except TimeoutError:
                    # Who has been cut off since may still have an answer to read.
                    with contextlib.suppress(OSError):
                        tls.sendall(b"a")

    def test_who_drips_is_cut_off(self):
        header = b"POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: localhost\r\n"
        body = header + b"Content-Type: application/pkcs10\r\nContent-Length: 9000\r\n\r\n"
        answers = []
        threads = [threading.Thread(target=self.drip, args=(first, answers))
                   for first in (header + b"X: ", body)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(answers), 2)
        for answer in answers:
            self.assertIn("HTTP/1.1 408", answer)
            self.assertIn("took too long", answer)

    def test_every_credential_gets_its_svid(self):
        jwt = self.accounts.token
        greedy = est.request(f"URI:{WEB}", "DNS:evil.example", "IP:10.0.0.1", "email:a@b",
                             key_file=f"{self.authority.dir}/greedy.key")
        chain, key = svid(self.authority, "greedy", greedy, f"{self.authority.dir}/greedy.key",
                          *bearer(self.token(WEB)))
        found = {"greedy": (WEB, ("--cert", chain, "--key", key)), "node": (NODE, self.node)}
        for name, spiffe_id, options, kwargs in (
                ("jwt", WEB, bearer(jwt()), {}),
                ("password", WEB, ("-u", "any:" + self.token(WEB)), {}),
                ("for-node", WEB, self.node, {}),
                ("beside", f"{EAST}/ns/shop/sa/new", (*self.node, *bearer(jwt("new"))), {}),
                ("renewed", NODE, self.node, {"operation": "simplereenroll"}),
                ("own", WEB, found["greedy"][1], {"operation": "simplereenroll"})):
            found[name] = spiffe_id, self.enrol(name, spiffe_id, *options, **kwargs)
        for name, (spiffe_id, files) in found.items():
            with self.subTest(name):
                spiffe.assert_verifies(files[1], self.authority.roots)
                spiffe.assert_svid(self, spiffe.certificates(files[1])[0], spiffe_id)
        self.assertIn("intact: ", self.authority.command("audit", "verify"))

    def test_metrics_count_what_was_answered(self):
        def total(*words):
            return sum(float(line.rsplit(" ", 1)[1])
                       for line in self.authority.admin("metrics").splitlines()
                       if not line.startswith("#") and all(word in line for word in words))
        before = total("requests_total", "simpleenroll", "401"), total("unauthenticated")
        self.authority.enrol(est.request(), *bearer("tj_unknown"))
        self.assertEqual(total("requests_total", "simpleenroll", "401"), before[0] + 1)
        self.assertEqual(self.authority.admin("healthz"), "ok\n")

    def test_every_metric_is_explained(self):
        names = set(re.findall(r"(?m)^# TYPE (tombolo_ca_\w+)", self.authority.admin("metrics")))
        self.assertTrue(names)
        with open(DOCS, encoding="utf-8") as text:
            explained = text.read()
        self.assertEqual([name for name in names if not re.search(rf"`{name}[`{{]", explained)], [])


if __name__ == "__main__":
    case.main()
