# SPDX-License-Identifier: Apache-2.0
"""What does a request and its answer take and cost on a connection that stays open?"""
from measure import Load

QUESTION = "requests"
SUBJECTS = ("direct", "haproxy-plain", "tombolo", "haproxy", "nginx", "stunnel")
_ROWS = [{"bytes": size, "connections": connections}
         for size in (64, 16384) for connections in (1, 64)]


def measure(run):
    """One outstanding request for each connection, answered with the same bytes."""
    run.load(run.rows(_ROWS), lambda row: Load("requests", row["connections"], row["bytes"]))
