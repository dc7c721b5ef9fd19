# SPDX-License-Identifier: Apache-2.0
"""Starts peer.py inside pods and collects what it reports."""
import hashlib
import json
import os
import queue
import subprocess
import sys
import threading

from . import host
from .conversation import pattern, pieces

_HERE = os.path.dirname(os.path.abspath(__file__))


class Peer:
    """A running peer.py, or another program like it; next() returns its reports in order."""

    program = "peer.py"

    def __init__(self, pod, *arguments, cgroup=None):
        self.name = f"{pod.workload}: {' '.join(map(str, arguments))}"
        self.process = pod.start(
            [sys.executable, os.path.join(_HERE, self.program), *map(str, arguments)], cgroup,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._reports = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self._reports.put(json.loads(line))
        self._reports.put(None)

    def next(self, timeout=120):
        """The next report; HostError when there is none in time or the peer has ended."""
        try:
            report = self._reports.get(timeout=timeout)
        except queue.Empty:
            raise host.HostError(f"{self.name}: no report within {timeout}s") from None
        if report is None:
            self._reports.put(None)
            raise host.HostError(f"{self.name} ended: {self.process.stderr.read()[-2000:]}")
        return report

    def reports(self):
        """What has been reported and not been taken yet."""
        found = []
        while not self._reports.empty():
            report = self._reports.get()
            if report is not None:
                found.append(report)
        return found

    def tell(self, line=""):
        """Wakes a peer that waits on its standard input."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def kill(self):
        """Ends the peer the hard way: the kernel closes its connections."""
        self.process.kill()
        self.process.wait(timeout=host.PATIENCE)


class GrpcPeer(Peer):
    """A running grpc_peer.py."""

    program = "grpc_peer.py"


def serve(pod, port, script, address=None):
    """A server in a pod, on the pod's own address, that already listens."""
    return _listening(Peer(pod, "serve", address or pod.ip, port, script))


def echo(pod, port, address=None):
    """An echo server for any number of connections."""
    return _listening(Peer(pod, "echo", address or pod.ip, port))


def grpc_echo(pod, port):
    """A gRPC server that says its cluster's name and then echoes."""
    return _listening(GrpcPeer(pod, "serve", pod.ip, port, pod.cluster.name))


def steal(pod, port):
    """Another user's listener on the agent's port."""
    return _listening(Peer(pod, "steal", port))


# Fills the queue of a listener that never accepts; the kernel then drops every SYN.
_FULL_QUEUE = """
import socket, sys, time
listener = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=0)
fillers = []
for _ in range(64):
    fillers.append(socket.socket())
    fillers[-1].settimeout(2)
    try:
        fillers[-1].connect(listener.getsockname())
    except TimeoutError:
        print("full", flush=True)
        time.sleep(600)
"""


def hang(pod, port):
    """A server that does not even take connections: the process."""
    process = pod.start([sys.executable, "-c", _FULL_QUEUE, pod.ip, str(port)],
                        stdout=subprocess.PIPE, text=True)
    if process.stdout.readline() != "full\n":
        raise host.HostError(f"{pod.workload}: the queue of a listener did not fill")
    return process


def _listening(server):
    event = server.next()
    if event != {"event": "listening"}:
        raise host.HostError(f"{server.name}: {event}")
    return server


def connect(pod, address, port, script, cgroup=None):
    """One client connection to its end."""
    return Peer(pod, "connect", address, port, script, cgroup=cgroup).next()


def connect_many(pod, address, port, script, count):
    """Several at once; every report."""
    client = Peer(pod, "connect", address, port, script, count)
    return [client.next() for _ in range(count)]


def pattern_digest(role, size, name):
    """The checksum, "sha256" or "md5", of what `role` sends in so many bytes."""
    digest, offset = hashlib.new(name), 0
    for piece in pieces(size):
        digest.update(pattern(role, offset, piece))
        offset += piece
    return digest.hexdigest()
