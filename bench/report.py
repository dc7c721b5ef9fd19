# SPDX-License-Identifier: Apache-2.0
"""Medians and spreads of a benchmark's samples, and the table that shows them."""
import os
import platform
import statistics
import subprocess

_BULK = ("upload", "download")


def machine(repo):
    """What the numbers depend on."""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        info = dict(line.split(":", 1) for line in lines if ":" in line)
    info = {key.strip(): value.strip() for key, value in info.items()}
    described = subprocess.run(["git", "-C", repo, "describe", "--always", "--dirty"],
                               capture_output=True, text=True, check=False)
    return {"kernel": platform.release(), "cores": os.cpu_count(),
            "cpu": info.get("model name", platform.machine()),
            "virtual": "hypervisor" in info.get("flags", "").split(),
            "load_before": os.getloadavg()[0],
            "commit": described.stdout.strip() or None}


def _spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _amount(mode, sample):
    """What a sample moved: bytes, requests or connections."""
    return sample["client"]["bytes" if mode in _BULK else "operations"]


def _agents_cpu(sample):
    return sum(value for name, value in sample["cpu_ns"].items() if name.startswith("agent_"))


def summary(mode, samples):
    """Medians over rounds. A ratio compares the two runs of one round."""
    paths = {path: sorted((s for s in samples if s["path"] == path), key=lambda s: s["round"])
             for path in ("direct", "agents")}
    rate = "bytes_per_second" if mode in _BULK else "operations_per_second"
    rates = {path: [s["client"][rate] for s in runs] for path, runs in paths.items()}
    through = paths["agents"]
    result = {path: _spread(values) for path, values in rates.items()}
    result["ratio"] = _spread([b / a for a, b in zip(rates["direct"], rates["agents"])])
    result["agents_cpu_ns"] = _spread([_agents_cpu(s) / _amount(mode, s) for s in through])
    result["agents_peak_rss_bytes"] = max(max(s["agents_peak_rss_bytes"].values())
                                          for s in through)
    result["handshakes"] = sum(s["handshakes"] for s in through)
    result["others_cpu"] = max(s["cpu_ns"]["others"] / 1e9 / s["client"]["seconds"]
                               for s in samples)
    if mode not in _BULK:
        result["latency_us"] = {
            path: {q: statistics.median(s["client"]["latency_us"][q] for s in runs)
                   for q in ("p50", "p90", "p99", "p99.9")} for path, runs in paths.items()}
    return result


def _shown(spread, scale, digits):
    """median (min..max)"""
    low, high = spread["min"] * scale, spread["max"] * scale
    return f"{spread['median'] * scale:.{digits}f} ({low:.{digits}f}..{high:.{digits}f})"


def _cells(row):
    found, bulk = row["summary"], row["mode"] in _BULK
    scale, digits = (8e-9, 2) if bulk else (1e-3, 2)
    unit, each = ("Gbit/s", "ns/B") if bulk else ("k/s", "us each")
    latency = found.get("latency_us")

    def quantiles(path):
        if not latency:
            return "-"
        return f"{latency[path]['p50']:.0f} / {latency[path]['p99']:.0f}"
    return [row["name"], unit, _shown(found["direct"], scale, digits),
            _shown(found["agents"], scale, digits), _shown(found["ratio"], 1, 2),
            f"{_shown(found['agents_cpu_ns'], 1 if bulk else 1e-3, 2 if bulk else 0)} {each}",
            quantiles("direct"), quantiles("agents"),
            f"{found['agents_peak_rss_bytes'] / 2**20:.0f}"]


def _table(header, rows):
    """Markdown that also reads well on a terminal."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells):
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |"
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(header), rule, *map(line, rows)])


def text(result):
    """The table, what it was measured on, and how much to believe of it."""
    where = result["machine"]
    others = max(row["summary"]["others_cpu"] for row in result["rows"])
    handshakes = sum(row["summary"]["handshakes"] for row in result["rows"])
    lines = [
        _table(["load", "unit", "direct", "through the agents", "agents/direct",
                "CPU of both agents", "direct p50 / p99 us", "agents p50 / p99 us",
                "peak RSS, MiB"], [_cells(row) for row in result["rows"]]),
        "",
        f"Median (min..max) of {result['rounds']} rounds of {result['seconds']:g} s. "
        f"{where['cpu']}, {where['cores']} {'virtual ' if where['virtual'] else ''}cores, Linux {where['kernel']}; "
        f"commit {where['commit'] or 'unknown'}; {result['cipher'] or 'no tunnel'}.",
        f"Idle agents: {result['idle_agents_cpu'] * 100:.2f}% of a core for both. "
        f"Handshakes during the runs: {handshakes:g}. "
        f"Most CPU that others took during a run: {others:.2f} cores."]
    if where["load_before"] > 0.5 or others > 0.2:
        lines.append(f"NOT IDLE: load average {where['load_before']:.1f} before the first run. "
                     "Take numbers on an idle machine.")
    return "\n".join(lines)
