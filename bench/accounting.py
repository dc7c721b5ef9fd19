# SPDX-License-Identifier: Apache-2.0
"""What processes cost: CPU time of cgroups, memory, context switches."""
import glob
import os
import re

from testing import host

_SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)$", re.MULTILINE)


def _text(path):
    """A file of /proc or of a cgroup; empty when its process or the file is not there."""
    try:
        with open(path, encoding="ascii", errors="replace") as lines:
            return lines.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def cgroup_cpu(path):
    """ns. cpu.stat has usage_usec in every cgroup v2, with or without the cpu controller."""
    stat = dict(line.split() for line in _text(f"{path}/cpu.stat").splitlines())
    return int(stat["usage_usec"]) * 1000


def machine_cpu():
    """ns in which a core was busy or stolen by the hypervisor: proc(5), to a clock tick."""
    words = _text("/proc/stat").splitlines()[0].split()[1:9]
    user, nice, system, _, _, irq, softirq, steal = map(int, words)
    ticks = user + nice + system + irq + softirq + steal
    return ticks * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))


def forget_peak(cgroup):
    """Makes the present resident size of each process the peak: proc(5), clear_refs."""
    for pid in host.cgroup_pids(cgroup):
        try:
            with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as out:
                out.write("5")
        except (FileNotFoundError, ProcessLookupError):
            pass


def _kib(pid, name, field):
    found = re.search(rf"^{field}:\s+(\d+) kB$", _text(f"/proc/{pid}/{name}"), re.MULTILINE)
    return int(found[1]) if found else 0


def peak(cgroup):
    """Bytes: the sum of what each process had at most (pages that they share count for each)."""
    return 1024 * sum(_kib(pid, "status", "VmHWM") for pid in host.cgroup_pids(cgroup))


def resident(cgroup):
    """Bytes that the processes have now; a page that n of them share is a n-th in each."""
    return 1024 * sum(_kib(pid, "smaps_rollup", "Pss") for pid in host.cgroup_pids(cgroup))


def context_switches(cgroup):
    """Of all threads that live: compare only what has the same threads."""
    return sum(int(count) for pid in host.cgroup_pids(cgroup)
               for status in glob.glob(f"/proc/{pid}/task/*/status")
               for count in _SWITCHES.findall(_text(status)))


class KernelMemory:
    """What the kernel holds for a cgroup's processes: sockets, descriptors, stacks, buffers.

    From cgroup v2's memory controller where that can be had, otherwise from a group of its own
    in v1's hierarchy. `available` says whether either is there.
    """

    def __init__(self, cgroup):
        self._v1 = None
        self._cgroup = cgroup
        _enable_memory(cgroup)
        if not os.path.exists(f"{cgroup}/memory.stat"):
            mounted = [path for path in host.mounts("cgroup") if path.endswith("/memory")]
            if mounted:
                self._v1 = f"{mounted[0]}/tombolo-bench-{os.getpid()}-{os.path.basename(cgroup)}"
                os.makedirs(self._v1, exist_ok=True)
        self.available = self._v1 is not None or os.path.exists(f"{cgroup}/memory.stat")

    def join(self):
        """v1: what the processes allocate from now on counts here."""
        if self._v1:
            for pid in host.cgroup_pids(self._cgroup):
                with open(f"{self._v1}/cgroup.procs", "w", encoding="ascii") as out:
                    out.write(str(pid))

    def bytes(self):
        """Now."""
        if self._v1:
            return int(_text(f"{self._v1}/memory.kmem.usage_in_bytes"))
        stat = dict(line.split() for line in _text(f"{self._cgroup}/memory.stat").splitlines())
        # Older kernels have no sum.
        total = stat.get("kernel") or sum(int(stat[name]) for name in (
            "kernel_stack", "pagetables", "percpu", "slab"))
        return int(total) + int(stat["sock"])

    def remove(self):
        """Call when the processes have ended."""
        if self._v1:
            host.remove_cgroup(self._v1)


def _enable_memory(cgroup):
    """Turns the controller on in every parent, where the machine lets us."""
    root = host.cgroup2_mount()
    parent, parents = os.path.dirname(cgroup), []
    while len(parent) >= len(root):
        parents.insert(0, parent)
        parent = os.path.dirname(parent)
    for path in parents:
        try:
            with open(f"{path}/cgroup.subtree_control", "w", encoding="ascii") as out:
                out.write("+memory")
        except OSError:
            return
