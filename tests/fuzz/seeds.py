# SPDX-License-Identifier: Apache-2.0
"""Writes a seed corpus for each fuzzer into a directory: python3 -m fuzz.seeds DIRECTORY."""
import base64
import json
import os
import ssl
import sys
import tempfile

from testing import host, pki, wire

GOOD_ID = "spiffe://test.example/cluster/east/ns/shop/sa/client"


def messages():
    """A control record of every type, and some that are nearly right."""
    address = wire.field(1, bytes(10) + b"\xff\xff\x0a\0\0\x0a") + wire.field(2, 8080)
    request = wire.open_request("shop/server", 80, bytes(range(16)))
    full = request + wire.field(4, address) + wire.field(5, address) + wire.field(6, b"west/server")
    verdict = wire.field(1, 3) + wire.field(2, b"no endpoint answered")
    yield wire.control(wire.HELLO, wire.hello() + wire.field(2, 1), connection=0)
    yield wire.control(wire.OPEN, request)
    yield wire.control(wire.OPEN, full)
    yield wire.control(wire.OPEN, full, length=len(full) + 1)
    yield wire.control(wire.RESULT, verdict)
    yield wire.control(wire.RESET, verdict)
    yield wire.control(wire.END)
    yield wire.control(wire.DONE)
    yield wire.control(wire.PING, b"12345678", connection=0)
    yield wire.control(wire.PONG, b"12345678", connection=0)
    yield wire.control(wire.GOAWAY, wire.field(1, b"draining"), connection=0)
    yield wire.control(99, b"from the future", flags=1)


def links():
    """A message of every type of a link, some that are nearly right, and how a spare begins."""
    def message(kind, payload=b"", flags=0, more=0):
        return bytes([kind, flags]) + (len(payload) + more).to_bytes(2, "big") + payload
    yield message(1, b"\1\2\0")
    yield message(1, b"\2\2\0more")
    yield message(2, bytes(range(32)))
    yield message(2, bytes(range(64)))
    yield message(2, bytes(range(33)))
    yield message(3)
    yield message(4)
    yield message(5, b"draining")
    yield message(5, b"draining", more=1)
    yield message(99, b"from the future", flags=1)
    yield b"T\1" + bytes(range(32))
    yield b"T\2" + bytes(range(32))


def client_hellos():
    """Of a TLS library, in one record and in many, with and without what a tunnel has."""
    name = f"{'0123456789abcdef' * 2}.west.tombolo.internal"
    hello = wire.client_hello(name)
    yield hello
    yield hello[:-1]
    yield hello + hello
    for size in (7, 50, 200):
        yield wire.in_records(hello, size)
    yield wire.client_hello(name, alpn="http/1.1")
    yield wire.client_hello("link.west.tombolo.internal", alpn="tombolo-link/1")
    yield wire.client_hello(name, alpn=None)
    yield wire.client_hello(None)
    yield wire.client_hello(name, version=ssl.TLSVersion.TLSv1_2)


def records():
    """Sequences of records that the key of record_fuzz.cc opens, and inner plaintexts."""
    def sealed(*plaintexts):
        direction = wire.Direction("TLS_AES_128_GCM_SHA256", b"\1" * 32)
        return b"".join(direction.seal(kind, data) for kind, data in plaintexts)
    yield sealed((wire.APPLICATION, b"hello"))
    yield sealed((wire.CONTROL, wire.control(wire.END)), (wire.ALERT, b"\1\0"))
    yield sealed((wire.APPLICATION, b""), (wire.APPLICATION, b"x" * 1000))
    yield sealed((wire.APPLICATION, b"padded" + bytes([wire.APPLICATION]) + bytes(20)[:-1]))
    yield sealed((wire.APPLICATION, b"cut short"))[:-1]
    yield sealed((wire.APPLICATION, b"one"), (0, b""))
    yield b"plaintext" + bytes([wire.APPLICATION])
    yield b"plaintext" + bytes([wire.CONTROL]) + bytes(16)


def certificates():
    """Leaves in DER that follow the SVID rules, and some that break one."""
    with tempfile.TemporaryDirectory() as directory:
        root = pki.Root(f"{directory}/root")
        leaves = [root.issue("good", GOOD_ID), root.issue("expired", GOOD_ID, days=(-3, -1)),
                  root.issue("two", GOOD_ID, GOOD_ID + "2"), root.issue("ca", GOOD_ID, ca=True),
                  root.issue("no-path", "spiffe://test.example"),
                  root.issue("no-spiffe", "https://test.example/path")]
        for path in [root.certificate, *(certificate for certificate, _ in leaves)]:
            with open(path, encoding="ascii") as pem:
                yield ssl.PEM_cert_to_DER_cert(pem.read())


def requests():
    """Certificate requests by keys of each kind, in DER and PEM."""
    with tempfile.TemporaryDirectory() as directory:
        for number, key in enumerate((["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], ["rsa:2048"],
                                      ["rsa:1024"], ["ed25519"])):
            out = f"{directory}/{number}"
            host.sh("openssl", "req", "-new", "-newkey", *key, "-nodes", "-keyout", "/dev/null",
                    "-subj", "/O=test/CN=n1", "-outform", "DER", "-out", out,
                    "-addext", f"subjectAltName=URI:{GOOD_ID},DNS:a.test,IP:10.0.0.1")
            with open(out, "rb") as der:
                request = der.read()
            yield request
            yield (b"-----BEGIN CERTIFICATE REQUEST-----\n" + base64.encodebytes(request) +
                   b"-----END CERTIFICATE REQUEST-----\n")


def answers():
    """Certs-only PKCS#7 as base64 and in DER."""
    with tempfile.TemporaryDirectory() as directory:
        root = pki.Root(f"{directory}/root")
        leaf, _ = root.issue("good", GOOD_ID)
        out = f"{directory}/p7"
        for files in ([leaf], [leaf, root.certificate]):
            host.sh("openssl", "crl2pkcs7", "-nocrl", "-outform", "DER", "-out", out,
                    *(word for file in files for word in ("-certfile", file)))
            with open(out, "rb") as der:
                answer = der.read()
            yield base64.encodebytes(answer)
            yield answer


def bundles():
    """Bundle documents: of somebody else, and of ours with all that ours have."""
    with tempfile.TemporaryDirectory() as directory:
        with open(pki.Root(f"{directory}/root").certificate, encoding="ascii") as root:
            pem = root.read()
    x5c = base64.b64encode(ssl.PEM_cert_to_DER_cert(pem)).decode()
    foreign = {"keys": [{"use": "x509-svid", "kty": "EC", "x5c": [x5c]},
                        {"use": "jwt-svid", "kty": "RSA", "kid": "j", "n": "AQ", "e": "AQAB"}],
               "spiffe_sequence": 3, "spiffe_refresh_hint": 300}
    authorities = [{"key_sha256": "ab" * 32, "cluster": "east"},
                   {"key_sha256": "cd" * 32, "cluster": ""}]
    ours = foreign | {"tombolo": {"trust_domain": "test.example", "authorities": authorities,
                                  "federated": {"other.example": foreign}}}
    unbound = foreign | {"tombolo": {"trust_domain": "test.example", "authorities": None}}
    yield pem.encode()
    for document in (foreign, ours, unbound):
        yield json.dumps(document).encode()


def tokens():
    """What the first byte says (jwt_fuzz.cc): claims, documents of keys, and tokens."""
    account = {"namespace": "shop", "serviceaccount": {"name": "web", "uid": "1"},
               "pod": {"name": "web-1", "uid": "2"}, "node": {"name": "n1", "uid": "3"}}
    claims = {"iss": "https://test", "sub": "system:serviceaccount:shop:web", "aud": ["ca"],
              "exp": 1800000600, "nbf": 1799999000, "iat": 1799999000.5, "kubernetes.io": account}
    keys = [{"kty": "EC", "crv": "P-256", "kid": "k", "x": "A" * 43, "y": "A" * 43},
            {"kty": "RSA", "kid": "r", "alg": "RS256", "use": "sig", "n": "_" * 342, "e": "AQAB"}]
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")
    yield b"c" + json.dumps(claims).encode()
    yield b"c" + json.dumps(claims | {"aud": "ca", "nbf": None}).encode()
    yield b"k" + json.dumps({"keys": keys}).encode()
    for algorithm in ("ES256", "RS256", "none"):
        yield b".".join((b"t" + part({"alg": algorithm, "kid": "k"}), part(claims), b"A" * 86))


def enrolments():
    """What the first byte says (est_fuzz.cc): authorizations, targets, bodies, and other fields."""
    for password in (b"est:token", b":a:b", b"est:", b"none"):
        yield b"aBasic " + base64.b64encode(password)
    yield b"aBearer abc.DEF-1_2~+/=="
    for path in ("est/cacerts", "est/csrattrs", "est/simpleenroll", "est/simplereenroll", "spiffe/bundle"):
        yield f"t/.well-known/{path}".encode()
    yield b"t/v1/trust"
    yield b"t/crl/" + b"0123456789abcdef" * 4 + b".crl"
    for size in (1, 300, 16384, 16385):
        yield b"b" + base64.encodebytes(b"0" * size)
    for field in ('W/"12"', 'respond-async, wait="10"; a=b', "application/pkcs10; a=b"):
        yield f"f{field}".encode()


def urls():
    """Of servers, identities and addresses, and some that are nearly right (url_fuzz.cc)."""
    for text in ("https://ca.example", "https://10.0.0.1:8443", "https://[fd00::1]:8443/", "https://a:0",
                 "https://user@host/path?query#part", GOOD_ID, "spiffe://test.example",
                 "spiffe://test.example/ca", "spiffe://test.example/cluster/east/node/n1",
                 "spiffe://test.example/a/../b", "10.0.0.1:80", "[fd00::1]:80", "10.96.0.0/16",
                 "fd00::/8", "::ffff:10.0.0.1"):
        yield text.encode()


SEEDS = {"message_fuzz": messages, "client_hello_fuzz": client_hellos, "link_fuzz": links, "record_fuzz": records, "svid_fuzz": certificates,
         "csr_fuzz": requests, "pkcs7_fuzz": answers, "bundle_fuzz": bundles,
         "jwt_fuzz": tokens, "est_fuzz": enrolments, "url_fuzz": urls}


def write(directory, fuzzer):
    """Its seeds, in a directory that is named after it."""
    os.makedirs(f"{directory}/{fuzzer}", exist_ok=True)
    for number, seed in enumerate(SEEDS[fuzzer]()):
        with open(f"{directory}/{fuzzer}/seed-{number:02}", "wb") as out:
            out.write(seed)


if __name__ == "__main__":
    for each in SEEDS:
        write(sys.argv[1], each)
