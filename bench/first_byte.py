# SPDX-License-Identifier: Apache-2.0
"""How long from connect() to the first byte of the answer, when the link has a round trip?"""
from measure import Load

QUESTION = "first_byte"
SUBJECTS = ("direct", "haproxy-plain", "tombolo", "tombolo-full", "tombolo-gateway",
            "tombolo-gateway-full", "haproxy", "haproxy-full", "nginx", "nginx-full", "stunnel",
            "stunnel-full")
_ROUND_TRIPS = (0, 10, 50)
_QUICK = (0, 50)


def measure(run):
    """One connection at a time; 64 bytes, so that the first byte comes with the last."""
    wanted = _QUICK if run.options.quick else _ROUND_TRIPS
    for row in run.rows([{"round_trip_ms": delay} for delay in wanted]):
        run.session.shape_link(run.names, row["round_trip_ms"])
        try:
            run.load([row], lambda _: Load("connects", 1, 64), warm_up=0.4)
        finally:
            run.session.shape_link(run.names, 0)
