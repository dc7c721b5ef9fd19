# SPDX-License-Identifier: Apache-2.0
"""One scripted TCP connection: what peer.py plays inside pods.

Each side sends its own endless pattern of bytes and checks what it receives against the
other's, so that a byte lost, doubled or moved is found.
"""
import errno
import os
import random
import select
import socket
import struct
import sys
import tempfile
import threading
import time

TIMEOUT = 60.0  # of one call: a slow machine must not look like a dead peer
PERIOD = 65521  # a prime, so that no power of two hides a shift
CHUNK = 256 * 1024
SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000
_PATTERNS = {}


def pattern(role, offset, size):
    """Bytes [offset, offset + size) of what `role` sends."""
    if role not in _PATTERNS:
        block = random.Random(role).randbytes(PERIOD)
        _PATTERNS[role] = block * (CHUNK // PERIOD + 2)
    start = offset % PERIOD
    return _PATTERNS[role][start:start + size]


def pieces(size):
    """`size` in chunks."""
    while size > 0:
        yield min(size, CHUNK)
        size -= CHUNK


class Conversation:
    """One connection. Public methods are the steps of a script."""

    def __init__(self, sock, role):
        self.sock, self.role = sock, role
        self.other = "server" if role == "client" else "client"
        self.result = {"sent": 0, "received": 0, "end": "", "corrupt_at": None}
        sock.settimeout(TIMEOUT)

    def play(self, script):
        """Runs the script; how it ended is in the result."""
        started = time.monotonic()
        try:
            for step in script.split(","):
                name, *arguments = step.split(":")
                self.result["at"] = step
                getattr(self, name.replace("-", "_"))(*arguments)
            self.result["at"] = "done"
        except TimeoutError:
            self.result["end"] = "timeout"
        except OSError as error:
            # Which of these a reset shows as depends on the call that meets it.
            reset = error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN)
            self.result["end"] = "reset" if reset else errno.errorcode.get(error.errno, str(error))
        self.result["seconds"] = round(time.monotonic() - started, 3)
        self.sock.close()
        return self.result

    def send(self, size):
        """Sends so many bytes of the pattern."""
        for piece in pieces(int(size)):
            self.sock.sendall(pattern(self.role, self.result["sent"], piece))
            self.result["sent"] += piece

    def drip(self, count, interval, size=1000):
        """Sends `size` bytes every `interval` seconds."""
        for _ in range(int(count)):
            self.send(size)
            time.sleep(float(interval))

    def text(self, what):
        """Sends a word that a capture can look for; no pattern."""
        self.sock.sendall(what.encode())

    def _got(self, data):
        result = self.result
        if result["corrupt_at"] is None and \
                data != pattern(self.other, result["received"], len(data)):
            result["corrupt_at"] = result["received"]
        result["received"] += len(data)

    def recv(self, size):
        """Receives exactly so many bytes."""
        wanted = self.result["received"] + int(size)
        while self.result["received"] < wanted:
            data = self.sock.recv(min(CHUNK, wanted - self.result["received"]))
            if not data:
                self.result["end"] = "eof"
                raise OSError(errno.ENODATA, "early end")
            self._got(data)

    def recv_eof(self):
        """Receives until the other side ends its direction."""
        while data := self.sock.recv(CHUNK):
            self._got(data)
        self.result["end"] = "eof"

    def window(self, size):
        """Receives through so small a window from now on."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(size))

    def sip(self, size, interval):
        """Receives to the end, at most `size` bytes every `interval` seconds."""
        while data := self.sock.recv(int(size)):
            self._got(data)
            time.sleep(float(interval))
        self.result["end"] = "eof"

    def read_text(self):
        """Receives one piece of anything."""
        self.result["text"] = self.sock.recv(CHUNK).decode(errors="replace")

    def exchange(self, up, down):
        """Both directions at once: the client says how much each side sends, then both end."""
        up, down = int(up), int(down)
        self.sock.sendall(struct.pack("!QQ", up, down))
        self._both_ways(up)

    def exchange_server(self):
        """The server's side of exchange."""
        up, down = struct.unpack("!QQ", self.sock.recv(16, socket.MSG_WAITALL))
        self.result["expected"] = up
        self._both_ways(down)

    def _both_ways(self, size):
        def upload():
            try:
                self.send(size)
                self.shutdown()
            except OSError as error:
                self.result["send_error"] = errno.errorcode.get(error.errno, str(error))
        sender = threading.Thread(target=upload)
        sender.start()
        try:
            self.recv_eof()
        finally:
            sender.join()

    def http(self):
        """Answers GET /bytes/N with N bytes of the pattern."""
        request = b""
        while b"\r\n\r\n" not in request:
            request += self.sock.recv(CHUNK)
        size = request.split(b" ")[1].rsplit(b"/", 1)[1].decode()
        self.sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n"
                          "Connection: close\r\n\r\n".encode())
        self.send(size)

    def shutdown(self):
        """Ends this side's direction."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Ends the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def sleep(self, seconds):
        """Does nothing."""
        time.sleep(float(seconds))

    def wait(self):
        """Does nothing until the test writes a line: see Peer.tell()."""
        sys.stdin.readline()

    def names(self):
        """What the application sees of its own connection."""
        self.result["peername"] = self.sock.getpeername()[:2]
        self.result["sockname"] = self.sock.getsockname()[:2]

    def _pattern_file(self, size):
        handle = tempfile.TemporaryFile(dir="/dev/shm")
        for piece in pieces(size):
            handle.write(pattern(self.role, self.result["sent"] + handle.tell(), piece))
        handle.flush()
        return handle

    def sendfile(self, size):
        """Sends with sendfile(2)."""
        with self._pattern_file(int(size)) as source:
            self.sock.settimeout(None)
            offset = 0
            while offset < int(size):
                offset += os.sendfile(self.sock.fileno(), source.fileno(), offset,
                                      int(size) - offset)
        self.result["sent"] += int(size)
        self.sock.settimeout(TIMEOUT)

    def splice(self, size):
        """Sends with splice(2) through a pipe."""
        read_end, write_end = os.pipe()
        with self._pattern_file(int(size)) as source:
            self.sock.settimeout(None)
            offset = 0
            while offset < int(size):
                piece = os.splice(source.fileno(), write_end, 65536, offset_src=offset)
                offset += piece
                while piece:
                    piece -= os.splice(read_end, self.sock.fileno(), piece)
        os.close(read_end)
        os.close(write_end)
        self.result["sent"] += int(size)
        self.sock.settimeout(TIMEOUT)

    def splice_recv(self, size):
        """Receives with splice(2) through a pipe."""
        read_end, write_end = os.pipe()
        self.sock.settimeout(None)
        left = int(size)
        while left:
            piece = os.splice(self.sock.fileno(), write_end, min(left, 65536))
            if not piece:
                raise OSError(errno.ENODATA, "early end")
            left -= piece
            while piece:
                data = os.read(read_end, piece)
                piece -= len(data)
                self._got(data)
        os.close(read_end)
        os.close(write_end)
        self.sock.settimeout(TIMEOUT)

    def zerocopy(self, size):
        """Sends with MSG_ZEROCOPY and waits until the kernel has let go of every buffer."""
        self.sock.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
        buffers, completed = [], 0
        for piece in pieces(int(size)):
            data = memoryview(pattern(self.role, self.result["sent"], piece))
            while data:
                buffers.append(data)
                data = data[self.sock.send(data, MSG_ZEROCOPY):]
            self.result["sent"] += piece
        deadline = time.monotonic() + TIMEOUT
        while completed < len(buffers):
            if time.monotonic() > deadline:
                raise TimeoutError
            select.select([], [], [self.sock], 0.1)
            completed += self._zerocopy_completions()

    def _zerocopy_completions(self):
        """Notifications name a range of send calls (struct sock_extended_err: info, data)."""
        try:
            _, ancillary, _, _ = self.sock.recvmsg(1, 256, socket.MSG_ERRQUEUE
                                                   | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        return sum(last - first + 1 for _, _, data in ancillary
                   for first, last in [struct.unpack_from("II", data, 8)])
