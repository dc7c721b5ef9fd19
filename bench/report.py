# SPDX-License-Identifier: Apache-2.0
"""The table of a run, its targets, and what it was measured on."""
import os
import platform
import ssl
import subprocess

import program
import suite
import targets

# Columns after the row's name and the subject: (title, metrics that belong there, with spread?)
_COLUMNS = (
    ("throughput or rate", ("throughput", "rate"), True),
    ("cost of the proxies", ("proxy_cpu", "instructions"), True),
    ("p50", ("p50",), False), ("p90", ("p90",), False), ("p99", ("p99",), False),
    ("p99.9 us", ("p99.9",), False),
    ("switches", ("context_switches",), False),
    ("process", ("process_memory",), True), ("kernel", ("kernel_memory",), True),
    ("peak", ("peak_memory",), False),
)


def machine(repo):
    """What the numbers depend on."""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        info = dict(line.split(":", 1) for line in lines if ":" in line)
    info = {key.strip(): value.strip() for key, value in info.items()}
    described = subprocess.run(["git", "-C", repo, "describe", "--always", "--dirty"],
                               capture_output=True, text=True, check=False) if os.path.isdir(
                                   f"{repo}/.git") else None
    return {"kernel": platform.release(), "cores": os.cpu_count(),
            "cpu": info.get("model name", platform.machine()),
            "virtual": "hypervisor" in info.get("flags", "").split(),
            "libcrypto": ssl.OPENSSL_VERSION, "load_before": os.getloadavg()[0],
            "commit": (described and described.stdout.strip()) or None}


def where(on):
    """What machine() has found, for people."""
    kind = "virtual " if on["virtual"] else ""
    return (f"{on['cpu']}, {on['cores']} {kind}cores, Linux {on['kernel']}, {on['libcrypto']}; "
            f"commit {on['commit'] or 'unknown'}.")


def _number(value):
    """Three digits, and no more than a number needs."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _count(value):
    """Of things, of which the median may be between two."""
    return f"{value:g}"


def cell(found, spread):
    """A metric's median, with its spread when that is wanted."""
    if found is None:
        return "-"
    if found["unit"] == "Gbit/s" and found["max"] < 1:
        found = found | {"unit": "Mbit/s"} | {name: found[name] * 1e3
                                              for name in ("median", "min", "max")}
    number = _count if found["unit"] == "count" else _number
    shown = number(found["median"])
    if spread and found["min"] != found["max"]:
        shown += f" ({number(found['min'])}..{number(found['max'])})"
    unit = found["unit"] if found["unit"] not in ("1", "count") and (
        found["unit"] != "us" or spread) else ""
    return f"{shown} {unit}".strip()


def grouped(objects):
    """{(question, parameters): {subject: {metric: object}}}, all in the order of the run."""
    rows = {}
    for one in objects:
        row = rows.setdefault((one["question"], tuple(one["parameters"].items())), {})
        row.setdefault(one["subject"], {})[one["metric"]] = one
    return rows


def _lines(rows):
    for (question, parameters), by_subject in rows.items():
        name = suite.label(question, dict(parameters))
        for subject, metrics in by_subject.items():
            found = [next((metrics[m] for m in wanted if m in metrics), None)
                     for _, wanted, _ in _COLUMNS]
            cells = [cell(one, spread) for one, (_, _, spread) in zip(found, _COLUMNS)]
            yield [name, subject, *cells]
            name = ""


def table(header, rows):
    """Markdown that also reads well on a terminal. Columns without content are left out."""
    kept = [i for i in range(len(header)) if any(row[i] not in ("-", "") for row in rows)]
    header, rows = [header[i] for i in kept], [[row[i] for i in kept] for row in rows]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells):
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |"
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(header), rule, *map(line, rows)])


def text(objects, on, samples):
    """The table, the targets, and how much to believe of them."""
    rows = grouped(objects)
    lines = [table(["load", "subject", *(title for title, _, _ in _COLUMNS)], list(_lines(rows)))]
    if judged := targets.judge(rows):
        lines += ["", table(["target", "limit", "measured", "met"], judged)]
    others = max((sample.get("others_cores", 0) for sample in samples), default=0)
    lines += ["", f"Medians (min..max) of {on['rounds']} rounds of {on['seconds']:g} s. "
              f"{where(on)}"]
    return "\n".join(lines + program.warnings(on, others))
