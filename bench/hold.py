#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Opens connections and keeps them idle.

    hold.py ADDRESS PORT [PREAMBLE]

Each connection sends the content of the file PREAMBLE first. Each line of the input is a number: so many connections are open, and have had 64 bytes there and
back, when the same number is printed. The end of the input closes them.
"""
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

AT_ONCE = 16


def connect(address, preamble):
    """One connection that has worked."""
    made = socket.create_connection(address, timeout=30)
    made.sendall(preamble)
    message = bytes(range(64))
    made.sendall(message)
    answer = b""
    while len(answer) < len(message):
        piece = made.recv(64)
        if not piece:
            raise ConnectionError(f"the server ended after {len(answer)} bytes")
        answer += piece
    if answer != message:
        raise ValueError("the answer is not what was asked")
    return made


def main():
    """The loop over the input."""
    address, preamble, held = (sys.argv[1], int(sys.argv[2])), b"", []
    if len(sys.argv) > 3:
        with open(sys.argv[3], "rb") as source:
            preamble = source.read()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for line in sys.stdin:
            held += pool.map(lambda _: connect(address, preamble),
                             range(int(line) - len(held)))
            print(len(held), flush=True)


if __name__ == "__main__":
    main()
