#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A server or a client of a long gRPC stream in both directions, inside a pod.

    grpc_peer.py serve ADDRESS PORT NAME     first says NAME on each stream, then echoes
    grpc_peer.py busy ADDRESS PORT           one stream, message after message
    grpc_peer.py idle ADDRESS PORT           one stream, a message for each line of its input

Prints {"event": "listening"} or {"server": NAME}, and the client its state for each line of its
standard input: {"echoed": how many messages came back as they were, "code": how the stream ended or
null}. The line "end" ends the stream in order.
"""
import concurrent.futures
import hashlib
import json
import queue
import sys
import threading

import grpc

_SERVICE, _METHOD = "tombolo.test.Echo", "Talk"
_SIZE = 20000


def report(value):
    """One line."""
    print(json.dumps(value), flush=True)


def serve(address, port, name):
    """Bytes are bytes: no schema is needed for that."""
    def talk(messages, _):
        yield name.encode()
        yield from messages
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
    handlers = {_METHOD: grpc.stream_stream_rpc_method_handler(talk)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    if server.add_insecure_port(f"{address}:{port}") == 0:
        sys.exit(f"cannot listen on {address}:{port}")
    server.start()
    report({"event": "listening"})
    server.wait_for_termination()


def message_of(number):
    """No two are alike."""
    return hashlib.shake_128(str(number).encode()).digest(_SIZE)


class Stream:
    """One call, for as long as the process lives. Any thread may ask for its state."""

    def __init__(self, address, port):
        # Nobody else's proxy or keepalive is between this and the network.
        self._channel = grpc.insecure_channel(f"{address}:{port}",
                                              [("grpc.enable_http_proxy", 0)])
        self._outgoing = queue.Queue()
        self._call = self._channel.stream_stream(f"/{_SERVICE}/{_METHOD}")(
            iter(self._outgoing.get, None))
        self.echoed = 0

    def name(self):
        """What the server calls itself."""
        return next(self._call).decode()

    def echo(self):
        """False when the stream is over."""
        message = message_of(self.echoed)
        self._outgoing.put(message)
        try:
            answer = next(self._call)
        except (grpc.RpcError, StopIteration):
            return False
        if answer != message:
            sys.exit(f"message {self.echoed} came back as another one")
        self.echoed += 1
        return True

    def end(self):
        """Waits for the server's end."""
        self._outgoing.put(None)
        try:
            for _ in self._call:
                sys.exit("more than was asked for")
        except grpc.RpcError:
            pass

    def state(self):
        """As it is reported."""
        code = self._call.code() if self._call.done() else None
        return {"echoed": self.echoed, "code": code and code.name}


def idle(address, port):
    """Silent until it is told."""
    stream = Stream(address, port)
    report({"server": stream.name()})
    while sys.stdin.readline() == "\n":
        stream.echo()
        report(stream.state())
    stream.end()
    report(stream.state())


def busy(address, port):
    """Never silent."""
    stream = Stream(address, port)
    report({"server": stream.name()})
    ending = threading.Event()

    def talk():
        while not ending.is_set() and stream.echo():
            pass
    talker = threading.Thread(target=talk)
    talker.start()
    while sys.stdin.readline() == "\n":
        report(stream.state())
    ending.set()
    talker.join()
    stream.end()
    report(stream.state())


if __name__ == "__main__":
    {"serve": serve, "busy": busy, "idle": idle}[sys.argv[1]](*sys.argv[2:])
