# SPDX-License-Identifier: Apache-2.0
"""tombolo/1 spoken by hand, so that tests can be peers that break its rules.

Python's ssl makes the handshake; its key log gives the traffic secrets; records are made here,
as RFC 8446 section 5.2 says, because ssl cannot send a content type of its own.
"""
import ctypes
import hashlib
import hmac
import os
import socket
import ssl
import struct
import tempfile

from . import host, network

ALPN = "tombolo/1"
ALERT, HANDSHAKE, APPLICATION, CONTROL = 21, 22, 23, 247  # userspace/tls/record_stream.h
CLOSE_NOTIFY = b"\1\0"
# userspace/tunnel/messages.h
HELLO, OPEN, RESULT, END, DONE, RESET, PING, PONG, GOAWAY = range(1, 10)
_CIPHERS = {"TLS_AES_128_GCM_SHA256": (16, "sha256", "EVP_aes_128_gcm"),
            "TLS_AES_256_GCM_SHA384": (32, "sha384", "EVP_aes_256_gcm")}
_GET_TAG, _SET_TAG, _TAG = 0x10, 0x11, 16
_crypto = ctypes.CDLL("libcrypto.so.3")


def server_name(service, port, identity, cluster):
    """The SNI for a service: userspace/tunnel/routing_id.cc."""
    text = f"tombolo/1 routing-id\n{service}\n{port}\n{identity}"
    return f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.{cluster}.tombolo.internal"


def client_hello(server_name, alpn=ALPN, version=ssl.TLSVersion.TLSv1_3):
    """The first bytes of a TLS client, in one record."""
    context = ssl.create_default_context()
    context.minimum_version = context.maximum_version = version
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols([alpn])
    out = ssl.MemoryBIO()
    session = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=server_name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    raise AssertionError("a handshake without a peer")


def in_records(hello, size):
    """The same message in records of at most `size` bytes."""
    message = hello[5:]
    return b"".join(struct.pack("!BHH", HANDSHAKE, 0x0301, len(part)) + part for part in
                    (message[at:at + size] for at in range(0, len(message), size)))


class Aead:
    """AES-GCM with one key, by OpenSSL's libcrypto."""

    def __init__(self, function, key):
        for name in (function, "EVP_CIPHER_CTX_new"):
            getattr(_crypto, name).restype = ctypes.c_void_p
        self._cipher = ctypes.c_void_p(getattr(_crypto, function)())
        self._key = key

    def _run(self, sealing, nonce, data, aad, tag):
        kind = "Encrypt" if sealing else "Decrypt"
        ctx = ctypes.c_void_p(_crypto.EVP_CIPHER_CTX_new())
        out, length = ctypes.create_string_buffer(len(data) + _TAG), ctypes.c_int()
        try:
            update = getattr(_crypto, f"EVP_{kind}Update")
            good = getattr(_crypto, f"EVP_{kind}Init_ex")(ctx, self._cipher, None, self._key,
                                                          nonce)
            good &= update(ctx, None, ctypes.byref(length), aad, len(aad))
            good &= update(ctx, out, ctypes.byref(length), data, len(data))
            if not sealing:
                good &= _crypto.EVP_CIPHER_CTX_ctrl(ctx, _SET_TAG, _TAG, tag)
            good &= getattr(_crypto, f"EVP_{kind}Final_ex")(
                ctx, ctypes.byref(out, len(data)), ctypes.byref(length))
            if sealing:
                tag = ctypes.create_string_buffer(_TAG)
                good &= _crypto.EVP_CIPHER_CTX_ctrl(ctx, _GET_TAG, _TAG, tag)
                return out.raw[:len(data)] + tag.raw[:_TAG]
            if good != 1:
                raise ValueError("a record does not decrypt")
            return out.raw[:len(data)]
        finally:
            _crypto.EVP_CIPHER_CTX_free(ctx)

    def seal(self, nonce, data, aad):
        """Ciphertext and tag."""
        return self._run(True, nonce, data, aad, None)

    def open(self, nonce, data, aad):
        """Plaintext, or ValueError."""
        return self._run(False, nonce, data[:-_TAG], aad, data[-_TAG:])


class Direction:
    """Keys and record counter of one direction (RFC 8446, 5.3 and 7.3)."""

    def __init__(self, cipher, secret):
        self._cipher, self._secret = cipher, secret
        key_size, _, function = _CIPHERS[cipher]
        self._aead = Aead(function, self._expand(b"key", key_size))
        self._iv, self._count = self._expand(b"iv", 12), 0

    def _expand(self, label, size):
        info = struct.pack("!HB", size, 6 + len(label)) + b"tls13 " + label + b"\0"
        return hmac.new(self._secret, info + b"\1", _CIPHERS[self._cipher][1]).digest()[:size]

    def next(self):
        """The direction after a KeyUpdate (RFC 8446, 7.2)."""
        return Direction(self._cipher, self._expand(b"traffic upd", len(self._secret)))

    def _nonce(self):
        nonce = int.from_bytes(self._iv, "big") ^ self._count
        self._count += 1
        return nonce.to_bytes(12, "big")

    def seal(self, kind, payload):
        """One record, its header included."""
        header = struct.pack("!BHH", APPLICATION, 0x0303, len(payload) + 1 + _TAG)
        return header + self._aead.seal(self._nonce(), payload + bytes([kind]), header)

    def open(self, header, body):
        """(content type, payload) of a record."""
        inner = self._aead.open(self._nonce(), body, header).rstrip(b"\0")
        return inner[-1], inner[:-1]


class Tunnel:
    """A dialled tunnel after its handshake, one record at a time."""

    def __init__(self, netns, address, sni, certificate, key, timeout=60):
        self.sock = host.in_netns(network.path(netns),
                                  lambda: socket.create_connection(address, timeout=timeout))
        try:
            cipher, secrets = self._establish(client_context(certificate, key), sni)
        except BaseException:
            self.sock.close()
            raise
        self._out = Direction(cipher, secrets["CLIENT_TRAFFIC_SECRET_0"])
        self._in = Direction(cipher, secrets["SERVER_TRAFFIC_SECRET_0"])

    def _establish(self, context, sni):
        with tempfile.NamedTemporaryFile() as key_log:
            context.keylog_filename = key_log.name
            self._received, cipher = self._handshake(context, sni)
            context.keylog_filename = None
            with open(key_log.name, encoding="ascii") as lines:
                return cipher, {line.split()[0]: bytes.fromhex(line.split()[2])
                                for line in lines if line.strip() and line[0] != "#"}

    def _handshake(self, context, sni):
        """ssl sees the handshake's bytes only; what follows them is kept for us."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_hostname=sni)
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.sock.sendall(outgoing.read())
                data = self.sock.recv(65536)
                if not data:
                    raise ConnectionResetError("the acceptor ended the handshake") from None
                incoming.write(data)
        self.sock.sendall(outgoing.read())
        return incoming.read(), session.cipher()[0]

    def send(self, kind, payload):
        """One record of any content type."""
        self.sock.sendall(self._out.seal(kind, payload))

    def update_key(self, request=False):
        """KeyUpdate: what is sent after it has another key. May ask the peer for the same."""
        self.send(HANDSHAKE, bytes([24, 0, 0, 1, request]))
        self._out = self._out.next()

    def message(self, kind, payload=b"", **header):
        """One control record; see control()."""
        self.send(CONTROL, control(kind, payload, **header))

    def receive(self):
        """(content type, payload), or None when TCP ended or was reset. Follows a KeyUpdate."""
        try:
            header = self._exactly(5)
            record = self._in.open(header, self._exactly(struct.unpack("!H", header[3:])[0]))
        except (ConnectionError, EOFError):
            return None
        if record[0] == HANDSHAKE and record[1][0] == 24:
            self._in = self._in.next()
        return record

    def receive_message(self):
        """(type, payload) of the next control record, or None at the end."""
        while True:
            record = self.receive()
            if record is None or record[0] == ALERT:
                return None
            if record[0] == CONTROL:
                return record[1][0], record[1][8:]

    def _exactly(self, size):
        while len(self._received) < size:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self._received += data
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def close(self):
        """Just TCP's end."""
        self.sock.close()


def client_context(certificate, key):
    """TLS 1.3, ALPN tombolo/1, no check of the server: that is not what is tested here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return _common(context, certificate, key)


def server_context(certificate, key, bundle):
    """A tunnel endpoint that asks for a client certificate, as an acceptor does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(bundle)
    context.num_tickets = 0
    return _common(context, certificate, key)


def _common(context, certificate, key):
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([ALPN])
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


def control(kind, payload=b"", connection=1, flags=0, length=None):
    """One message as a control record carries it; `length` may lie."""
    size = len(payload) if length is None else length
    return struct.pack("!BBHI", kind, flags, size & 0xFFFF, connection) + payload


def field(number, value):
    """One protobuf field: an integer or bytes."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def hello(version=1):
    """HELLO's payload."""
    return field(1, version) + field(3, b"test peer")


def open_request(service, port, connection_id=None):
    """OPEN's payload (userspace/tunnel/tunnel.proto)."""
    return (field(1, connection_id or os.urandom(16)) + field(2, service.encode())
            + field(3, port))
