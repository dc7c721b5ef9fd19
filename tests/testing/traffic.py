# SPDX-License-Identifier: Apache-2.0
"""Connections that never stop: what peer.py's mode `traffic` plays inside pods.

Long connections echo a numbered message in each beat, and short ones come and go beside them. What
ends one that was not to end is kept with its time: time.monotonic() is the same in all processes.
"""
import errno
import select
import socket
import threading
import time

_MOST = 1000  # failures that are remembered


class Traffic:
    """Begins with its construction: `long` connections by `dial()`, and `rate` short ones a second.

    Threads of its own; end() joins them.
    """

    def __init__(self, dial, long, beat, rate):
        self._dial, self._beat, self._rate = dial, beat, rate
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._state = {"long": 0, "beats": 0, "short": 0, "slowest": 0.0, "failures": []}
        begun = threading.Barrier(long + 1)
        self._threads = [threading.Thread(target=self._long, args=(begun,)) for _ in range(long)]
        self._threads.append(threading.Thread(target=self._short))
        for thread in self._threads:
            thread.start()
        begun.wait()

    def state(self):
        """Open long connections, their messages so far, short connections that were good, the
        slowest of these in seconds, and failures as [time, kind, error]."""
        with self._lock:
            return self._state | {"failures": list(self._state["failures"])}

    def end(self):
        """Ends every connection in order, which may fail as well."""
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _count(self, **changes):
        with self._lock:
            for name, change in changes.items():
                self._state[name] += change

    def _failed(self, kind, error):
        name = errno.errorcode.get(error.errno, "") if error.errno else ""
        with self._lock:
            if len(self._state["failures"]) < _MOST:
                self._state["failures"].append([time.monotonic(), kind, name or str(error)])

    def _long(self, begun):
        try:
            sock = self._dial()
        except OSError as error:
            self._failed("long", error)
            begun.wait()
            return
        self._count(long=1)
        begun.wait()
        try:
            with sock:
                self._talk(sock)
        except OSError as error:
            self._failed("long", error)
        finally:
            self._count(long=-1)

    def _talk(self, sock):
        number = 0
        while not self._ending.is_set():
            echo(sock, number)
            self._count(beats=1)
            number += 1
            # An end is noticed when it comes, not in the next beat.
            if select.select([sock], [], [], self._beat)[0]:
                raise OSError(errno.EPROTO, f"unasked: {sock.recv(100)!r}")
        finish(sock)

    def _short(self):
        due = time.monotonic()
        while not self._ending.wait(max(0, due - time.monotonic())):
            begun = time.monotonic()
            due = max(due + 1 / self._rate, begun)
            try:
                with self._dial() as sock:
                    echo(sock, 0)
                    finish(sock)
            except OSError as error:
                self._failed("short", error)
                continue
            with self._lock:
                self._state["short"] += 1
                self._state["slowest"] = max(self._state["slowest"], time.monotonic() - begun)


def echo(sock, number):
    """Sends a message that no other one is like, and takes nothing else for its echo."""
    message = b"%15d\n" % number
    sock.sendall(message)
    answer = b""
    while len(answer) < len(message):
        piece = sock.recv(len(message) - len(answer))
        if not piece:
            raise OSError(errno.ENODATA, "early end")
        answer += piece
    if answer != message:
        raise OSError(errno.EPROTO, f"{message} came back as {answer}")


def finish(sock):
    """An end is answered by an end."""
    sock.shutdown(socket.SHUT_WR)
    if sock.recv(1):
        raise OSError(errno.EPROTO, "more than was asked for")
