#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A client or server that plays a script on its connections, inside a pod.

    peer.py serve ADDRESS PORT SCRIPT             the same script on every connection
    peer.py connect ADDRESS PORT SCRIPT [COUNT]   COUNT connections at once
    peer.py mixed ADDRESS PORT COUNT SEED         COUNT exchanges at once, small and large
    peer.py repeat ADDRESS PORT SCRIPT COUNT      one after the other, reports once
    peer.py hold ADDRESS PORT COUNT               connects, echoes a byte, waits for a line on
                                                  standard input, echoes another byte
    peer.py echo ADDRESS PORT                     echoes, for any number of connections
    peer.py traffic ADDRESS PORT LONG BEAT RATE   LONG connections that echo every BEAT seconds, and
                                                  RATE short ones a second; its state for each line
                                                  on standard input, and for "end" the last one
    peer.py steal PORT                            binds 127.0.0.1:PORT as nobody

A script is steps joined by commas; see the methods of Conversation ("recv_eof" is written
recv-eof). Each side sends its own endless pattern of bytes and checks what it receives against
the other's, so that a byte lost, doubled or moved is found. One JSON object is printed per
connection, and {"event": "listening"} before the first.
"""
import errno
import json
import os
import random
import resource
import select
import socket
import sys
import threading
import time

# Run as a program, so its own directory is where modules are found.
from conversation import CHUNK, TIMEOUT, Conversation, pattern
from traffic import Traffic


def report(value):
    """One line, whole also when several threads report."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def family(address):
    """Of a numeric address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def converse(address, port, script):
    """One client connection: the result of its script, or of connect()."""
    sock = socket.socket(family(address), socket.SOCK_STREAM)
    sock.settimeout(TIMEOUT)
    started = time.monotonic()
    fast_open = script.startswith("fastopen:")
    try:
        if fast_open:
            first, _, script = script.partition(",")
            size = int(first.split(":")[1])
            sock.settimeout(None)  # with one, sendto would not wait for the SYN's answer
            sent = sock.sendto(pattern("client", 0, size), socket.MSG_FASTOPEN,
                               (address, int(port)))
        else:
            sock.connect((address, int(port)))
    except OSError as error:
        sock.close()
        if isinstance(error, ConnectionResetError):
            # It was established, and reset before this thread woke up to see it.
            return {"connect": "ok", "sent": 0, "received": 0, "end": "reset", "corrupt_at": None,
                    "at": "connect", "seconds": round(time.monotonic() - started, 3)}
        name = "timeout" if isinstance(error, TimeoutError) else errno.errorcode[error.errno]
        return {"connect": name, "seconds": round(time.monotonic() - started, 3)}
    conversation = Conversation(sock, "client")
    if fast_open:
        conversation.result["sent"] = sent
    return {"connect": "ok"} | conversation.play(script)


def connect(address, port, script, count="1"):
    """COUNT connections at once; `{n}` in the script is the connection's number."""
    def one(number):
        report(converse(address, port, script.replace("{n}", str(number))))
    threads = [threading.Thread(target=one, args=(n,)) for n in range(int(count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def mixed(address, port, count, seed):
    """COUNT exchanges at once, most of them small and some of megabytes."""
    sizes = random.Random(int(seed))

    def size(number):
        return sizes.randrange(1 << 20, 4 << 20) if number % 8 == 0 else sizes.randrange(4000)
    scripts = [f"exchange:{size(n)}:{size(n)}" for n in range(int(count))]

    def one(script):
        up, down = script.split(":")[1:]
        report({"up": int(up), "down": int(down)} | converse(address, port, script))
    threads = [threading.Thread(target=one, args=(script,)) for script in scripts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def repeat(address, port, script, count):
    """Counts how the connections ended, one after the other."""
    ends = {}
    for _ in range(int(count)):
        result = converse(address, port, script)
        end = result.get("at", result["connect"])
        ends[end] = ends.get(end, 0) + 1
    report(ends)


def serve(address, port, script):
    """Plays the script on every connection, each on its own thread."""
    listener = listen(address, port)

    def one(sock):
        report(Conversation(sock, "server").play(script))
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=one, args=(sock,), daemon=True).start()


def listen(address, port):
    """A listener that has said so."""
    listener = socket.create_server((address, int(port)), family=family(address), backlog=4096)
    report({"event": "listening"})
    return listener


def echo(address, port):
    """Echoes on one thread; an end is answered with an end."""
    listener = listen(address, port)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    open_sockets = {}
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                sock, _ = listener.accept()
                sock.settimeout(TIMEOUT)
                open_sockets[sock.fileno()] = sock
                poll.register(sock, select.EPOLLIN)
                continue
            try:
                data = open_sockets[fd].recv(CHUNK)
                open_sockets[fd].sendall(data)
            except OSError:
                data = b""
            if not data:
                poll.unregister(fd)
                open_sockets.pop(fd).close()


def hold(address, port, count):
    """COUNT connections that are all open at the same time."""
    sockets, failures = [], []

    def ping(sock):
        sock.sendall(b"x")
        if sock.recv(1) != b"x":
            raise OSError(errno.EPROTO, "no echo")
    for number in range(int(count)):
        sock = socket.socket(family(address), socket.SOCK_STREAM)
        sock.settimeout(TIMEOUT)
        try:
            sock.connect((address, int(port)))
            ping(sock)
            sockets.append(sock)
        except OSError as error:
            failures.append(f"{number}: {error}")
    report({"open": len(sockets), "failures": failures[:5]})
    sys.stdin.readline()
    alive = 0
    for sock in sockets:
        try:
            ping(sock)
            alive += 1
        except OSError as error:
            failures.append(str(error))
        sock.close()
    report({"alive": alive, "failures": failures[:5]})


def traffic(address, port, long, beat, rate):
    """Goes on until it is told to end: see traffic.py."""
    def dial():
        sock = socket.socket(family(address), socket.SOCK_STREAM)
        sock.settimeout(TIMEOUT)
        try:
            sock.connect((address, int(port)))
        except OSError:
            sock.close()
            raise
        return sock
    running = Traffic(dial, int(long), float(beat), float(rate))
    report(running.state())
    while sys.stdin.readline() == "\n":
        report(running.state())
    running.end()
    report(running.state())


def steal(port):
    """Another user takes the agent's port and reports whatever reaches it."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    serve("127.0.0.1", port, "read-text")


MODES = {mode.__name__: mode for mode in (serve, connect, mixed, repeat, hold, echo, traffic,
                                          steal)}

if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    threading.stack_size(256 * 1024)
    MODES[sys.argv[1]](*sys.argv[2:])
