# SPDX-License-Identifier: Apache-2.0
"""What does a new connection cost: connect, 64 bytes there and back, close?"""
from measure import Load

QUESTION = "connects"
# Each in its two ways: with what it keeps between connections (tunnels, TLS sessions), and with a
# full mutual handshake for each.
SUBJECTS = ("direct", "haproxy-plain", "tombolo", "tombolo-full", "haproxy", "haproxy-full",
            "nginx", "nginx-full", "stunnel", "stunnel-full")


def measure(run):
    """32 clients, each with the next connection as soon as one has ended."""
    run.load(run.rows([{"clients": 32}]), lambda row: Load("connects", row["clients"], 64),
             warm_up=0.3)
