# SPDX-License-Identifier: Apache-2.0
"""What the project promises itself, judged by the ratios of one run."""

_TLS_PEERS = ("haproxy", "nginx", "stunnel")
_FULL = tuple(f"{name}-full" for name in _TLS_PEERS)
# (question, parameters that a row must have, subject, metric, the least of these, limit)
# Without anybody to compare with, the limit is the metric's own.
_RATIOS = (
    ("bulk", {}, "tombolo", "proxy_cpu", _TLS_PEERS, 0.85),
    ("bulk", {}, "tombolo", "proxy_cpu", ("haproxy-plain",), 1.0),
    ("requests", {"connections": 64}, "tombolo", "proxy_cpu", _TLS_PEERS, 0.85),
    ("requests", {"connections": 64}, "tombolo", "proxy_cpu", ("haproxy-plain",), 1.0),
    ("connects", {}, "tombolo", "proxy_cpu", ("haproxy-plain",), 1.15),
    ("connects", {}, "tombolo-full", "proxy_cpu", _FULL, 1.0),
    ("idle", {"connections": 9000}, "tombolo", "process_memory", (), 4.0),
    ("first_byte", {"round_trip_ms": 50}, "tombolo", "p50", ("direct",), 0.55),
    ("first_byte", {"round_trip_ms": 50}, "tombolo-gateway", "p50", ("direct",), 0.55),
    ("gateway", {}, "gateway", "proxy_cpu", ("haproxy-sni",), 0.8),
    ("gateway", {}, "gateway", "proxy_cpu", ("haproxy-sni-splice",), 0.8),
    ("bulk", {}, "tombolo-kernel", "instructions", ("tombolo-user",), 0.85),
    ("bulk", {}, "tombolo-kernel", "instructions", ("nginx", "nginx-ktls", "haproxy"), 0.85),
)
_STRETCH = "haproxy-plain"
# The same of what should be large: the most of these, and at least the limit.
_SPEEDS = (
    ("gateway", {}, "gateway", "throughput", ("haproxy-sni",), 1.0),
    ("gateway", {}, "gateway", "rate", ("haproxy-sni",), 1.0),
    ("gateway", {}, "gateway", "throughput", ("haproxy-sni-splice",), 1.0),
    ("gateway", {}, "gateway", "rate", ("haproxy-sni-splice",), 1.0),
)


def judge(rows):
    """[target, limit, measured, met] of each that the run has measured."""
    return [*_judged(rows, _RATIOS, min, lambda value, limit: value <= limit),
            *_judged(rows, _SPEEDS, max, lambda value, limit: value >= limit)]


def _judged(rows, targets, best, met):
    for question, wanted, subject, metric, others, limit in targets:
        for (asked, parameters), by_subject in rows.items():
            if asked != question or not wanted.items() <= dict(parameters).items():
                continue
            value = _measured(by_subject, subject, metric, others, best)
            if value is not None:
                yield [_describe(asked, parameters, subject, metric, others),
                       f"{limit:g}{'' if others else ' KiB'}", f"{value:.2f}",
                       "yes" if met(value, limit) else "NO"]


def _measured(by_subject, subject, metric, others, best):
    medians = {name: metrics[metric]["median"] for name, metrics in by_subject.items()
               if metric in metrics}
    compared = [medians[name] for name in others if name in medians]
    if subject not in medians or (others and not compared):
        return None
    return medians[subject] / best(compared) if others else medians[subject]


def _describe(question, parameters, subject, metric, others):
    words = " ".join(str(value) for _, value in parameters)
    against = f" / {others[0] if len(others) == 1 else 'best of ' + ', '.join(others)}"
    stretch = " (stretch)" if others == (_STRETCH,) and question != "connects" else ""
    return (f"{question} {words}: {metric.replace('_', ' ')} of {subject}"
            f"{against if others else ''}{stretch}").replace(" :", ":")
