# SPDX-License-Identifier: Apache-2.0
"""What every kernel of the vm tier must offer: run inside the guest (see tests/vm/run.py)."""
import errno
import functools
import os
import resource
import socket
import ssl
import threading
import time
import unittest

from testing import case, host
from testing.wire import CONTROL
from vm.inside import ktls, machine


class MachineTest(unittest.TestCase):
    """What /init has prepared."""

    def test_file_systems(self):
        host.prepare()
        self.assertEqual(host.cgroup2_mount(), "/sys/fs/cgroup")

    def test_clock(self):
        # Certificates are made and judged in the guest, with files of the host.
        self.assertGreater(time.time(), os.stat(__file__).st_mtime)

    def test_limits(self):
        self.assertGreaterEqual(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 65536)

    def test_openssl(self):
        # Debian 12's, or Debian 13's with its hybrid key exchange (tests/vm/userland.py).
        wanted = (3, 5) if machine.version() >= (7, 0) else (3, 0)
        self.assertEqual(ssl.OPENSSL_VERSION_INFO[:2], wanted, ssl.OPENSSL_VERSION)

    def test_processor(self):
        # What aesni-intel needs; without it kernel TLS is code that no real machine runs.
        with open("/proc/cpuinfo", encoding="ascii") as lines:
            flags = next(line for line in lines if line.startswith("flags")).split()
        self.assertLessEqual({"aes", "pclmulqdq", "ssse3", "rdrand"}, set(flags))


def each_cipher(test):
    """Decorates a test that takes a cipher."""
    @functools.wraps(test)
    def run(self):
        for cipher in ktls.CIPHERS:
            with self.subTest(cipher.name):
                test(self, cipher)
    return run


class KernelTlsTest(unittest.TestCase):
    """Keys go in, records come out, for each cipher that the agent may agree on."""

    def pair(self, cipher):
        """A connection whose first end sends through the kernel, and the key."""
        sender, receiver = ktls.connected_pair()
        self.addCleanup(sender.close)
        self.addCleanup(receiver.close)
        key = cipher.random_key()
        ktls.install(sender, ktls.TLS_TX, key)
        return sender, receiver, key

    @each_cipher
    def test_bytes_arrive_intact(self, cipher):
        sent = os.urandom(300_000)
        sender, receiver, key = self.pair(cipher)
        ktls.install(receiver, ktls.TLS_RX, key)
        thread = threading.Thread(target=sender.sendall, args=(sent,))
        thread.start()
        received = b""
        while len(received) < len(sent):
            received += receiver.recv(65536)
        thread.join()
        self.assertEqual(received, sent)

    @each_cipher
    def test_records_are_on_the_wire(self, cipher):
        sender, receiver, _ = self.pair(cipher)
        sender.sendall(bytes(16384) + b"rest")
        seen = b""
        while len(seen) < ktls.FULL_RECORD + 5:
            seen += receiver.recv(65536)
        for start in (0, ktls.FULL_RECORD):
            self.assertEqual(seen[start:start + 3], b"\x17\x03\x03")
        self.assertNotIn(bytes(64), seen)

    @each_cipher
    def test_both_directions(self, cipher):
        one, other, key = self.pair(cipher)
        ktls.install(other, ktls.TLS_RX, key)
        back = cipher.random_key()
        ktls.install(other, ktls.TLS_TX, back)
        ktls.install(one, ktls.TLS_RX, back)
        one.sendall(b"there")
        self.assertEqual(other.recv(100), b"there")
        other.sendall(b"and back")
        self.assertEqual(one.recv(100), b"and back")

    @each_cipher
    def test_private_content_type(self, cipher):
        """Control records of tombolo/1 keep their type and their place between data."""
        sender, receiver, key = self.pair(cipher)
        ktls.install(receiver, ktls.TLS_RX, key)
        sender.sendall(b"before")
        ktls.send_record(sender, CONTROL, b"control")
        sender.sendall(b"after")
        sender.shutdown(socket.SHUT_WR)
        found = [ktls.receive_record(receiver, 1000) for _ in range(3)]
        self.assertEqual(found, [(ktls.APPLICATION_DATA, b"before"), (CONTROL, b"control"),
                                 (ktls.APPLICATION_DATA, b"after")])

    @each_cipher
    def test_a_wrong_key_is_an_error(self, cipher):
        sender, receiver, _ = self.pair(cipher)
        ktls.install(receiver, ktls.TLS_RX, cipher.random_key())
        sender.sendall(b"secret")
        with self.assertRaises(OSError) as raised:
            receiver.recv(100)
        self.assertEqual(raised.exception.errno, errno.EBADMSG)


class NamespaceTest(unittest.TestCase):
    """Network namespaces joined by veth, made with the commands that the netns tests use."""

    def test_veth_carries_tcp(self):
        for name in ("one", "two"):
            host.sh("ip", "netns", "add", name)
            self.addCleanup(host.sh, "ip", "netns", "delete", name)
        host.sh("ip", "link", "add", "v1", "netns", "one", "type", "veth",
                "peer", "name", "v2", "netns", "two")
        for name, device, address in (("one", "v1", "192.0.2.1/24"), ("two", "v2", "192.0.2.2/24")):
            host.sh("ip", "-n", name, "address", "add", address, "dev", device)
            host.sh("ip", "-n", name, "link", "set", device, "up")
        listener = host.in_netns("/run/netns/two", lambda: socket.create_server(("192.0.2.2", 80)))
        client = host.in_netns("/run/netns/one",
                               lambda: socket.create_connection(("192.0.2.2", 80), timeout=20))
        server, address = listener.accept()
        with listener, client, server:
            self.assertEqual(address[0], "192.0.2.1")
            client.sendall(b"hello")
            self.assertEqual(server.recv(100), b"hello")


if __name__ == "__main__":
    case.main()
