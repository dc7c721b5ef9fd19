#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A link between two network namespaces that takes its time, for kernels without netem.

    slow_link.py NETNS DEVICE NETNS DEVICE

Makes a TUN device in both, prints "ready", and hands packets from one to the other. Each line of
its input says from when on how: "MILLISECONDS [LOSS [MTU [MEGABITS [ONE_WAY]]]]", the delay of one way, how
many of a hundred packets get lost, how large the largest is that gets through (what is larger
vanishes without a word), and how much gets through in a second each way (0: everything at once), for
which as much waits as takes 50 ms. With ONE_WAY 1 TCP can be dialled from the first namespace
only: the SYNs of the other vanish. Order is kept. Late by as long as this process waits for a core.
"""
import collections
import fcntl
import os
import random
import select
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from testing import host, network  # noqa: E402  pylint: disable=wrong-import-position

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_BUFFER = 0.05  # seconds in front of a link with a rate


def _dials(packet):
    """Whether it is a TCP segment over IPv4 with SYN and without ACK."""
    if packet[0] >> 4 != 4 or packet[9] != 6:
        return False
    flags = packet[4 * (packet[0] & 15) + 13]
    return flags & 0x12 == 0x02


def _open_tun(netns, device):
    def make():
        handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", device.encode(),
                                                    _IFF_TUN | _IFF_NO_PI))
        return handle
    return host.in_netns(network.path(netns), make)


class Link:
    """Both devices, and the packets between them."""

    def __init__(self, one, one_device, other, other_device):
        self._tuns = [_open_tun(one, one_device), _open_tun(other, other_device)]
        self._queue = {tun: collections.deque() for tun in self._tuns}  # to it: (when due, packet)
        self._seconds, self._loss, self._mtu, self._rate = 0.0, 0.0, 65536, 0.0
        self._one_way = False
        self._free = dict.fromkeys(self._tuns, 0.0)  # when the way from there has sent what waits
        self._random = random.Random(one_device)

    def _deliver(self):
        for tun, queue in self._queue.items():
            while queue and queue[0][0] <= time.monotonic():
                try:
                    os.write(tun, queue.popleft()[1])
                except OSError:
                    pass  # as on any link: the other end is down or full

    def _next(self):
        """Seconds until something is due; None: nothing waits."""
        due = [queue[0][0] for queue in self._queue.values() if queue]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _collect(self, tun, other):
        while True:
            try:
                packet = os.read(tun, 65536)
            except OSError:
                return
            if len(packet) > self._mtu or (self._loss and self._random.random() < self._loss):
                continue
            if self._one_way and tun == self._tuns[1] and _dials(packet):
                continue
            sent = now = time.monotonic()
            if self._rate:
                sent = max(now, self._free[tun])
                if sent > now + _BUFFER:
                    continue
                self._free[tun] = sent = sent + len(packet) / self._rate
            self._queue[other].append((sent + self._seconds, packet))

    def _configure(self, words):
        self._seconds = float(words[0]) / 1000
        self._loss = float(words[1]) / 100 if len(words) > 1 else 0.0
        self._mtu = int(words[2]) if len(words) > 2 else 65536
        self._rate = float(words[3]) * 125000 if len(words) > 3 else 0.0  # bytes a second
        self._one_way = len(words) > 4 and words[4] == b"1"

    def run(self):
        """Until the end of the input. A new delay waits for the packets of the old one."""
        one, other = self._tuns
        ways = {one: other, other: one}
        while True:
            readable = select.select([sys.stdin, *ways], [], [], self._next())[0]
            self._deliver()
            for tun in set(readable) & set(ways):
                self._collect(tun, ways[tun])
            if sys.stdin in readable:
                line = sys.stdin.buffer.raw.readline()
                if not line:
                    return
                self._configure(line.split())


if __name__ == "__main__":
    link = Link(*sys.argv[1:])
    print("ready", flush=True)
    link.run()
