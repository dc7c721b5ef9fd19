# SPDX-License-Identifier: Apache-2.0
"""Writes a seed corpus for each fuzzer into a directory: python3 -m fuzz.seeds DIRECTORY."""
import os
import ssl
import sys
import tempfile

from testing import pki, wire

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


def main(directory):
    """One directory for each fuzzer, named after it."""
    for fuzzer, seeds in (("message_fuzz", messages), ("record_fuzz", records),
                          ("svid_fuzz", certificates)):
        os.makedirs(f"{directory}/{fuzzer}", exist_ok=True)
        for number, seed in enumerate(seeds()):
            with open(f"{directory}/{fuzzer}/seed-{number:02}", "wb") as out:
                out.write(seed)


if __name__ == "__main__":
    main(sys.argv[1])
