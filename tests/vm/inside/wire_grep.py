# SPDX-License-Identifier: Apache-2.0
"""Looks for the applications' bytes in the packets of an interface, as they pass.

Unlike testing.capture nothing is kept, so that it can watch gigabytes.
"""
import socket
import struct
import threading
import time

from testing import host, network
from testing.capture import ETH_P_ALL, PACKET_STATISTICS, SO_RCVBUFFORCE, SOL_PACKET
from testing.conversation import PERIOD, pattern

# Unlikely in ciphertext: once in 2^79 places.
_PIECE = 12
# Ethernet, IPv6 and TCP with options.
_HEADERS = 14 + 40 + 60


def _pieces():
    """Every run of bytes that a peer's script may send; see Conversation."""
    found = set()
    for role in ("client", "server"):
        block = pattern(role, 0, PERIOD + _PIECE)
        found.update(block[start:start + _PIECE] for start in range(PERIOD))
    return found


class Grep:
    """Watches `interface` of a namespace from construction to stop(). Clear text is the pattern
    of a peer in the middle or at the end of a packet, or `marker` anywhere in it."""

    _known = None

    def __init__(self, netns, interface, marker):
        Grep._known = Grep._known or _pieces()
        self._marker = marker.encode()
        self.packets = self.octets = self.drops = 0
        self.clear = []  # packets with clear text: how long they are
        self.markers = 0
        self._socket = host.in_netns(network.path(netns), lambda: self._open(interface))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @staticmethod
    def _open(interface):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        sock.bind((interface, ETH_P_ALL))
        sock.settimeout(0.1)
        return sock

    def _read(self):
        while True:
            try:
                packet = self._socket.recv(1 << 17)
            except TimeoutError:
                if self._stopping.is_set():
                    return
                continue
            self.packets += 1
            self.octets += len(packet)
            if self._marker in packet:
                self.markers += 1
            if len(packet) >= _HEADERS + _PIECE:
                self._look(packet)

    def _look(self, packet):
        middle = (_HEADERS + len(packet) - _PIECE) // 2
        if packet[middle:middle + _PIECE] in self._known or packet[-_PIECE:] in self._known:
            self.clear.append(len(packet))

    def stop(self):
        """Takes what is still queued, and closes."""
        if self._thread.is_alive():
            time.sleep(0.05)
            self._stopping.set()
            self._thread.join()
            stats = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
            self.drops = struct.unpack("II", stats)[1]
            self._socket.close()
        return self
