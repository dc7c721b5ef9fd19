#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A link between two network namespaces that takes its time, for kernels without netem.

    slow_link.py NETNS DEVICE NETNS DEVICE

Makes a TUN device in both, prints "ready", and hands packets from one to the other. Each line of
its input says from when on how: "MILLISECONDS [LOSS [MTU]]", the delay of one way, how many of a
hundred packets get lost, and how large the largest is that gets through; what is larger vanishes
without a word. Order is kept. Late by as long as this process waits for a core.
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
        self._queue = collections.deque()  # (when due, to which device, packet)
        self._seconds, self._loss, self._mtu = 0.0, 0.0, 65536
        self._random = random.Random(one_device)

    def _deliver(self):
        while self._queue and self._queue[0][0] <= time.monotonic():
            _, tun, packet = self._queue.popleft()
            try:
                os.write(tun, packet)
            except OSError:
                pass  # as on any link: the other end is down or full

    def _collect(self, tun, other):
        while True:
            try:
                packet = os.read(tun, 65536)
            except OSError:
                return
            if len(packet) > self._mtu or (self._loss and self._random.random() < self._loss):
                continue
            self._queue.append((time.monotonic() + self._seconds, other, packet))

    def _configure(self, words):
        self._seconds = float(words[0]) / 1000
        self._loss = float(words[1]) / 100 if len(words) > 1 else 0.0
        self._mtu = int(words[2]) if len(words) > 2 else 65536

    def run(self):
        """Until the end of the input. A new delay waits for the packets of the old one."""
        one, other = self._tuns
        ways = {one: other, other: one}
        while True:
            wait = max(0.0, self._queue[0][0] - time.monotonic()) if self._queue else None
            readable = select.select([sys.stdin, *ways], [], [], wait)[0]
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
