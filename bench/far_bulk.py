# SPDX-License-Identifier: Apache-2.0
"""How much does a stream carry over a long link that loses packets?"""
from measure import BULK, Load

QUESTION = "far_bulk"
# Tombolo's tunnels: the system's congestion control without gateways, wan.congestion_control with.
SUBJECTS = ("direct-cubic", "direct-bbr", "tombolo", "tombolo-gateway")
_ROWS = [{"direction": mode, "round_trip_ms": 50, "loss_percent": loss, "megabits": 100}
         for loss in (0, 1) for mode in BULK]
_QUICK = _ROWS[-2:]
# Slow start over 50 ms needs its time, and a loss has to be met several times.
_SECONDS = 5


def measure(run):
    """One stream each, for five times as long as others."""
    rows = run.rows(_QUICK if run.options.quick else _ROWS)
    for row in rows:
        run.session.shape_link(run.names, row["round_trip_ms"], row["loss_percent"],
                               row["megabits"])
        try:
            run.load([row], lambda row: Load(row["direction"], 1),
                     seconds=_SECONDS * run.options.seconds)
        finally:
            run.session.shape_link(run.names, 0)
