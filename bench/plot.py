# SPDX-License-Identifier: Apache-2.0
"""Bar charts as SVG: one file for each question and metric, medians with their spread."""
from xml.sax.saxutils import escape

import report

_BAR, _GAP, _LEFT, _PLOT, _TOP, _RIGHT = 16, 12, 150, 420, 44, 150
_TITLES = {
    ("bulk", "throughput"): "Bulk throughput",
    ("bulk", "proxy_cpu"): "CPU time of both proxies per byte",
    ("bulk", "instructions"): "Instructions of both proxies per byte",
    ("requests", "rate"): "Requests per second",
    ("requests", "p50"): "Request latency, median",
    ("requests", "p99"): "Request latency, 99th percentile",
    ("requests", "proxy_cpu"): "CPU time of both proxies per request",
    ("requests", "instructions"): "Instructions of both proxies per request",
    ("connects", "rate"): "New connections per second",
    ("connects", "proxy_cpu"): "CPU time of both proxies per connection",
    ("idle", "process_memory"): "Process memory per idle connection and proxy",
    ("idle", "kernel_memory"): "Kernel memory per idle connection and proxy",
    ("first_byte", "p50"): "Time to first byte, median",
    ("far_bulk", "throughput"): "Bulk throughput over a long link",
    ("gateway", "throughput"): "A gateway's bulk throughput",
    ("gateway", "rate"): "A gateway's exchanges and new tunnels per second",
    ("gateway", "proxy_cpu"): "CPU time of a gateway per byte, exchange and tunnel",
}
_COLORS = {"direct": "#9e9e9e", "haproxy-plain": "#bdbdbd", "tombolo": "#1565c0",
           "gateway": "#1565c0", "gateway-direct": "#9e9e9e", "haproxy": "#ef6c00", "nginx": "#2e7d32", "stunnel": "#6a1b9a"}


def _color(subject):
    family = subject if subject in _COLORS else subject.split("-", maxsplit=1)[0]
    return _COLORS[family], 0.55 if family != subject else 1.0


def _text(x, y, content, anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">'
            f"{escape(content)}</text>")


def _bar(y, subject, one, scale):
    color, opacity = _color(subject)
    low, median, high = (_LEFT + one[name] * scale for name in ("min", "median", "max"))
    middle = y + _BAR / 2
    return [
        _text(_LEFT - 6, middle + 4, subject, "end"),
        f'<rect x="{_LEFT}" y="{y}" width="{median - _LEFT:.1f}" height="{_BAR - 3}" '
        f'fill="{color}" fill-opacity="{opacity}"/>',
        f'<path d="M{low:.1f} {middle - 1.5:.1f}H{high:.1f}" stroke="#212121"/>',
        _text(max(high, median) + 6, middle + 4, f"{one['median']:.4g} {one['unit']}")]


def bars(title, groups):
    """SVG of [(label, [(subject, object)])]."""
    largest = max(one["max"] for _, found in groups for _, one in found) or 1.0
    scale, y = _PLOT / largest, _TOP
    body = [_text(12, 22, title, weight="bold")]
    for label, found in groups:
        body.append(_text(12, y + 10, label))
        y += 16
        for subject, one in found:
            body += _bar(y, subject, one, scale)
            y += _BAR
        y += _GAP
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _PLOT + _RIGHT}" '
            f'height="{y}" font-family="sans-serif" font-size="12">\n'
            '<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(body) + "\n</svg>\n")


def write_all(objects, directory):
    """directory/<question>-<metric>.svg of what was measured."""
    rows = report.grouped(objects)
    for (question, metric), title in _TITLES.items():
        groups = []
        for (asked, parameters), by_subject in rows.items():
            found = [(subject, metrics[metric]) for subject, metrics in by_subject.items()
                     if metric in metrics]
            if asked == question and found:
                label = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in parameters)
                groups.append((label, found))
        if groups:
            with open(f"{directory}/{question}-{metric}.svg", "w", encoding="utf-8") as out:
                out.write(bars(title, groups))
