# SPDX-License-Identifier: Apache-2.0
"""How much memory does an idle connection hold in a proxy and in the kernel?"""
import select
import subprocess
import time

from testing import host

import accounting
import hold
from measure import Load, warm_up

QUESTION = "idle"
SUBJECTS = ("haproxy-plain", "tombolo", "haproxy", "nginx", "stunnel")
_PATIENCE = 300.0
# Until a proxy has let go of what it needed for the handshakes only.
_SETTLE = 4.0


class _Held:
    """Open connections of the client pod. They have had 64 bytes there and back."""

    def __init__(self, subject):
        address, port = subject.address("echo")
        preamble = subject.preamble("echo")
        self._subject = subject
        self._process = subject.world.client.start(
            ["/usr/bin/python3", "-B", hold.__file__, address, str(port),
             *([preamble] if preamble else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def grow(self, count):
        """Returns when so many are open."""
        self._process.stdin.write(b"%d\n" % count)
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], _PATIENCE)[0] or \
                self._process.stdout.readline() != b"%d\n" % count:
            raise host.HostError("\n".join([
                f"{self._subject.name}: {count} connections did not open",
                *self._subject.world.complaints(),
                *(agent.log_tail(10) for agent in self._subject.world.agents)]))

    def end(self):
        """Closes them."""
        self._process.stdin.close()
        self._process.wait(timeout=host.PATIENCE)


def rows(options, **parameters):
    """`parameters` belong to each row."""
    counts = (50,) if options.smoke else (1000,) if options.quick else (1000, 9000)
    return [parameters | {"connections": count} for count in counts]


def measure(run):
    """All rows."""
    measure_rows(run, run.rows(rows(run.options)))


def measure_rows(run, wanted):
    """Each sample has fresh proxies: memory that was used once is not given back."""
    run.names = [name for name in run.names if run.session.subject(name).cgroups]
    if not wanted:
        return
    for number, _, subject in run.in_turn([{}], 1 if run.options.quick else None):
        subject.stop()
        subject.start()
        kernel = [accounting.KernelMemory(cgroup) for cgroup in subject.cgroups]
        try:
            _sample(run, subject, kernel, number, wanted)
        finally:
            subject.stop()
            for one in kernel:
                one.remove()
            subject.start()


def _sample(run, subject, kernel, number, wanted):
    for one in kernel:
        if one.available:
            one.join()
    # What the first connections need is no connection's.
    warm_up(subject, Load("connects", 4, 64), 0.2)
    time.sleep(_SETTLE)
    before, held = _memory(subject, kernel), _Held(subject)
    try:
        for row in wanted:
            count = row["connections"]
            held.grow(count)
            time.sleep(_SETTLE)
            now = _memory(subject, kernel)
            metrics = {name: ((now[name] - before[name]) / count / len(kernel) / 1024, "KiB")
                       for name in now}
            metrics["peak_memory"] = (max(map(accounting.peak, subject.cgroups)) / 2**20, "MiB")
            run.results.add(run.question, subject.name, row, metrics,
                            {"round": number, "before": before, "with": now})
    finally:
        held.end()


def _memory(subject, kernel):
    """Of both proxies together."""
    found = {"process_memory": sum(map(accounting.resident, subject.cgroups))}
    if all(one.available for one in kernel):
        found["kernel_memory"] = sum(one.bytes() for one in kernel)
    return found
