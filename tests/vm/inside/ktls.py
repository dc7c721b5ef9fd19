# SPDX-License-Identifier: Apache-2.0
"""Kernel TLS for Python: the constants and structures of <linux/tls.h>."""
import os
import socket
import struct
from dataclasses import dataclass

TCP_ULP, SOL_TLS, TLS_TX, TLS_RX = 31, 282, 1, 2
SET_RECORD_TYPE, GET_RECORD_TYPE = 1, 2
TLS_1_3, APPLICATION_DATA = 0x0304, 23
# A full record on the wire: header, 2^14 bytes, content type, tag.
FULL_RECORD = 5 + 16384 + 1 + 16


@dataclass(frozen=True)
class Cipher:
    """One of the kernel's; sizes in bytes, in the order of its struct tls12_crypto_info_*."""

    name: str
    number: int
    iv: int
    key: int
    salt: int

    def random_key(self):
        """What setsockopt(TLS_TX or TLS_RX) takes, for a direction that starts."""
        secret = os.urandom(self.iv + self.key + self.salt)
        return struct.pack("=HH", TLS_1_3, self.number) + secret + bytes(8)


CIPHERS = (Cipher("AES-128-GCM", 51, 8, 16, 4), Cipher("AES-256-GCM", 52, 8, 32, 4),
           Cipher("ChaCha20-Poly1305", 54, 12, 32, 0))


def connected_pair():
    """Both ends of a TCP connection over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=20)
        server, _ = listener.accept()
    server.settimeout(20)
    return client, server


def install(sock, direction, key):
    """Hands a direction of an established connection to the kernel."""
    if not _has_ulp(sock):
        sock.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
    sock.setsockopt(SOL_TLS, direction, key)


def _has_ulp(sock):
    return sock.getsockopt(socket.IPPROTO_TCP, TCP_ULP, 16).startswith(b"tls")


def send_record(sock, kind, payload):
    """One record of any content type."""
    sock.sendmsg([payload], [(SOL_TLS, SET_RECORD_TYPE, bytes([kind]))])


def receive_record(sock, size):
    """(content type, payload) of what is next, as far as it has one type."""
    data, control, _, _ = sock.recvmsg(size, socket.CMSG_SPACE(1))
    kinds = [value[0] for level, what, value in control
             if (level, what) == (SOL_TLS, GET_RECORD_TYPE)]
    return (kinds[0] if kinds else None), data
