# SPDX-License-Identifier: Apache-2.0
"""What does a gateway cost, beside proxies that read a server name and pass the rest on as well?"""
import idle
from measure import BULK, Load

QUESTION = "gateway"
SUBJECTS = ("gateway-direct", "gateway", "haproxy-sni", "haproxy-sni-splice", "nginx-sni")
_ROWS = [*({"load": mode, "connections": count} for count in (1, 8, 64) for mode in BULK),
         {"load": "requests", "connections": 64}, {"load": "connects", "connections": 32}]
_QUICK = [row for row in _ROWS if row["load"] not in BULK or row["connections"] == 8]


def _load(row):
    """Bulk is as random to a gateway as ciphertext would be: it looks at none of it."""
    size = 0 if row["load"] in BULK else 64
    return Load(row["load"], row["connections"], size)


def measure(run):
    """Bulk both ways, small exchanges, new tunnels, and memory of idle ones."""
    run.load(run.rows(_QUICK if run.options.quick else _ROWS), _load, warm_up=0.2)
    idle.measure_rows(run, run.rows(idle.rows(run.options, load="idle")))
