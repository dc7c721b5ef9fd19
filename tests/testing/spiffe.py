# SPDX-License-Identifier: Apache-2.0
"""What openssl and SPIFFE's documents say of certificates and bundles. `case` is a test."""
import base64
import json
import re
import ssl

from . import host


def certificates(path):
    """Those of a file in PEM, each as a text of its own, in their order."""
    with open(path, encoding="ascii") as text:
        return re.findall(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n",
                          text.read(), re.DOTALL)


def assert_verifies(path, roots):
    """The first certificate of a file, by those behind it."""
    for purpose in ("sslclient", "sslserver"):
        host.sh("openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", roots,
                "-untrusted", path, path)


def assert_svid(case, pem, spiffe_id, *hosts):
    """A leaf as X.509-SVID wants it (sections 2 to 5), which has the names of `hosts` beside its
    ID."""
    text = _text(pem)
    case.assertEqual(_names(text), [f"URI:{spiffe_id}", *hosts])
    case.assertRegex(text, r"Basic Constraints: critical\n +CA:FALSE\n")
    case.assertRegex(text, r"X509v3 Key Usage: critical\n +Digital Signature\n")
    for usage in ("Server", "Client"):
        case.assertRegex(text, rf"Extended Key Usage: *\n.*TLS Web {usage} Authentication")


def assert_authority(case, pem, trust_domain, below):
    """A signing certificate, which may have so many authorities `below` it."""
    text = _text(pem)
    case.assertEqual(_names(text), [f"URI:spiffe://{trust_domain}"], "an ID without a path")
    case.assertRegex(text, rf"Basic Constraints: critical\n +CA:TRUE, pathlen:{below}\n")
    case.assertRegex(text, r"X509v3 Key Usage: critical\n +Certificate Sign, CRL Sign\n")
    case.assertNotIn("Extended Key Usage", text)


def assert_bundle(case, document, roots):
    """A bundle document whose keys are those of the certificates `roots`, in PEM."""
    bundle = json.loads(document)
    case.assertGreater(bundle["spiffe_refresh_hint"], 0)
    case.assertGreater(bundle["spiffe_sequence"], 0)
    found = []
    for key in bundle["keys"]:
        case.assertEqual((key["use"], key["kty"], key["crv"]), ("x509-svid", "EC", "P-256"))
        certificate, = key["x5c"]
        found.append(ssl.DER_cert_to_PEM_cert(base64.b64decode(certificate, validate=True)))
        public = host.sh("sh", "-c", "openssl x509 -pubkey -noout | openssl pkey -pubin "
                         "-outform DER | openssl base64 -A", input=found[-1])
        x, y = (base64.urlsafe_b64decode(key[name] + "==") for name in "xy")
        case.assertTrue(base64.b64decode(public).endswith(b"\4" + x + y))
    case.assertEqual(sorted(found), sorted(roots))


def _text(pem):
    return host.sh("openssl", "x509", "-noout", "-text", input=pem)


def _names(text):
    return re.search(r"Subject Alternative Name:.*\n +(.*)\n", text)[1].split(", ")
