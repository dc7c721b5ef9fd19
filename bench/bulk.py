# SPDX-License-Identifier: Apache-2.0
"""How much does a stream carry, and what does a byte cost?"""
from measure import BULK, Load

QUESTION = "bulk"
SUBJECTS = ("direct", "haproxy-plain", "tombolo", "haproxy", "nginx", "stunnel")
_ROWS = [{"direction": mode, "streams": streams} for streams in (1, 8, 64) for mode in BULK]
_QUICK = [row for row in _ROWS if row["streams"] == 8]


def measure(run):
    """All rows. The receiver discards the data unchecked."""
    run.load(run.rows(_QUICK if run.options.quick else _ROWS),
             lambda row: Load(row["direction"], row["streams"]))
