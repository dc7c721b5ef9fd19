# SPDX-License-Identifier: Apache-2.0
"""Records in the kernel where there is much of everything, or little memory."""
import subprocess
import sys

from testing import case, host, network
from vm.inside.records_case import RecordsCase, pipes


class CrowdTest(RecordsCase, case.PairCase):
    """500 connections, all open at the same time."""

    topology_name = "crowd"
    COUNT = 500

    def test_all_open(self):
        server = self.echo()
        client = self.peer("hold", self.COUNT)
        self.assertEqual(client.next(), {"open": self.COUNT, "failures": []})
        for cluster in self.topo.clusters:
            cluster.agent.wait_open(self.COUNT)
            counted = self.counted(cluster)
            self.assertGreaterEqual(counted["TlsCurrTxSw"], self.COUNT, counted)
            self.assertGreaterEqual(counted["TlsCurrRxSw"], self.COUNT, counted)
        client.tell()
        self.assertEqual(client.next(), {"alive": self.COUNT, "failures": []})
        server.kill()


class NarrowTest(RecordsCase, case.PairCase):
    """Small windows: of the application that reads, and of the nodes' tunnels."""

    topology_name = "narrow"

    def test_a_reader_that_sips_through_a_small_window(self):
        size = 400_000
        server = self.serve("window:4096,sip:1777:0.01")
        client = self.peer("connect", f"send:{size},shutdown,recv-eof")
        self.assert_done(client.next(), sent=size)
        self.assert_done(server.next(), received=size)
        server.kill()

    def test_tunnels_of_small_windows(self):
        # A socket takes the limits of its namespace when it is made. Two records fit.
        for cluster in self.topo.clusters:
            host.in_netns(network.path(cluster.netns), self._narrow)
            cluster.agent.restart()
        self.remember()
        server = self.serve("exchange-server")
        client = self.peer("connect", "exchange:2000000:1500000", 4)
        for _ in range(4):
            self.assert_done(client.next(), sent=2000000, received=1500000)
            self.assert_done(server.next(), received=2000000)
        server.kill()

    @staticmethod
    def _narrow():
        for name in ("tcp_rmem", "tcp_wmem"):
            write(f"/proc/sys/net/ipv4/{name}", "4096 40000 40000")


class MemoryPressureTest(RecordsCase, case.PairCase):
    """Sockets get less than they want: the agents' cgroups are full, or TCP is short of memory
    on the whole machine."""

    topology_name = "pressure"
    start_agents = False
    splice = "both"  # pages are held in pipes, too
    COUNT, UP, DOWN = 40, 600_000, 100_000
    BALLAST, ROOM = 24 << 20, 4 << 20
    # Pages: from the second number on TCP is under pressure, from the third on it drops.
    TCP_MEM, PATH = "256 512 16384", "/proc/sys/net/ipv4/tcp_mem"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._delegate_memory()
        cls.topo.start_agents()
        cls.remember()

    @classmethod
    def _delegate_memory(cls):
        """Before the agents start: a socket is charged to the cgroup it was made in."""
        top = host.cgroup2_mount()
        for path in (top, cls.topo.cgroup, *(cluster.cgroup for cluster in cls.topo.clusters)):
            write(f"{path}/cgroup.subtree_control", "+memory")

    def _load(self):
        """Servers that let the sockets before them fill."""
        server = self.serve(f"sleep:3,recv-eof,send:{self.DOWN}")
        client = self.peer("connect", f"send:{self.UP},shutdown,recv-eof", self.COUNT)
        for _ in range(self.COUNT):
            self.assert_done(client.next(), sent=self.UP, received=self.DOWN)
            self.assert_done(server.next(), received=self.UP)
        server.kill()

    def _fill(self, cluster):
        """Memory that cannot be reclaimed, and a limit just above."""
        path = f"{cluster.cgroup}/agent"
        ballast = host.spawn([sys.executable, "-c", _BALLAST, str(self.BALLAST)], path,
                             network.path(cluster.netns), stdout=subprocess.PIPE)
        self.topo.processes.append(ballast)
        ballast.stdout.readline()
        write(f"{path}/memory.max", str(int(read(f"{path}/memory.current")) + self.ROOM))

    def test_full_cgroups(self):
        """The kernel charges an agent for its sockets and kills where that is too much, the
        ballast first. Streams then end with a reset: none looks complete that is not."""
        self._load()  # what the agents themselves need is there before the limit
        for cluster in self.topo.clusters:
            self._fill(cluster)
            cluster.agent.expect_death = True
        server = self.serve(f"sleep:8,recv-eof,send:{self.DOWN}")
        client = self.peer("connect", f"send:{self.UP},shutdown,recv-eof", self.COUNT)
        for _ in range(self.COUNT):
            self._assert_whole_or_broken(client.next(), self.DOWN)
        hits = 0
        for cluster in self.topo.clusters:
            text = read(f"{cluster.cgroup}/agent/memory.events")
            events = {name: int(count) for name, count in map(str.split, text.splitlines())}
            print(f"{cluster.name}: {events}", flush=True)
            hits += events["max"]
            write(f"{cluster.cgroup}/agent/memory.max", "max")
        self.assertGreater(hits, 0, "no limit was ever reached")
        for result in server.reports():
            self._assert_whole_or_broken(result, self.UP)
        server.kill()
        self.start_agents_again()
        self._load()

    def _assert_whole_or_broken(self, result, size):
        if result.get("connect", "ok") == "ok":
            self.assertIsNone(result["corrupt_at"], result)
            if result["end"] == "eof":
                self.assertEqual(result["received"], size, result)

    def test_little_memory_for_tcp(self):
        before, pressures = read(self.PATH), self._pressures()
        for cluster in self.topo.clusters:
            cluster.agent.restart()  # without pipes
        unused = [pipes(cluster) for cluster in self.topo.clusters]
        write(self.PATH, self.TCP_MEM)
        try:
            self._load()
        finally:
            write(self.PATH, before)
        self.assertGreater(self._pressures(), pressures, "TCP was never under pressure")
        for cluster, count in zip(self.topo.clusters, unused):
            self.assertGreater(pipes(cluster), count, f"{cluster.name} did not splice")

    def _pressures(self):
        """How often any of the namespaces' TCP came under pressure: /proc/net/netstat."""
        def count():
            lines = read("/proc/thread-self/net/netstat").splitlines()
            names, values = (line.split() for line in lines if line.startswith("TcpExt:"))
            return int(dict(zip(names, values))["TCPMemoryPressures"])
        places = [place.netns for cluster in self.topo.clusters
                  for place in (cluster, *cluster.pods)]
        return sum(host.in_netns(network.path(place), count) for place in places)


def read(path):
    """A small file's text."""
    with open(path, encoding="ascii") as text:
        return text.read()


def write(path, text):
    """One write to a kernel's file."""
    with open(path, "w", encoding="ascii") as out:
        out.write(text)


_BALLAST = """
import sys, time
with open("/proc/self/oom_score_adj", "w") as out: out.write("1000")
held = b"x" * int(sys.argv[1])
print("full", flush=True)
time.sleep(600)
"""


if __name__ == "__main__":
    case.main()
