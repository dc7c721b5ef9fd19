# SPDX-License-Identifier: Apache-2.0
"""Where everything is measured: a client pod in east, a server pod in west, nodes between them."""
import os
import select
import subprocess

from testing import host, network, slow_link, topology

_DEVICE = "delay0"  # both ends of the delayed link
# What tombolo-bench-load serves, and where.
PORTS = {"sink": 8001, "source": 8002, "echo": 8003}
# Beside the pods' own addresses, which no other cluster has a route to: the client's and the
# server's, by what TCP does between them about congestion ("": what the namespaces have).
DIRECT = {"": ("10.1.0.1", "10.1.0.2"), "cubic": ("10.1.1.1", "10.1.1.2"),
          "bbr": ("10.1.2.1", "10.1.2.2")}
# A client that makes thousands of connections a second would run out of ports, for they stay in
# TIME_WAIT for a minute unless reused; so would a proxy.
_SYSCTLS = {"tcp_tw_reuse": "1", "ip_local_port_range": "16384 65535"}


class World:
    """One topology with its servers. Agents are there and do not run; `config` is theirs."""

    def __init__(self, name, config=None, gateways=0):
        self.topo = topo = topology.Topology(name)
        self.east = topo.cluster("east", gateways=gateways)
        self.west = topo.cluster("west", gateways=gateways)
        self.client, self.server = self.east.pod("client"), self.west.pod("server")
        self.service = topo.service("shop/server", PORTS["sink"], [])
        self.service.ports = {port: [topology.Endpoint(self.server, port)]
                              for port in PORTS.values()}
        topo.allow(self.client, "shop/server")
        self.agents = [self.east.agent, self.west.agent]
        for agent in self.agents:
            agent.config = config or {}
        self._delay = None

    def up(self):
        """Everything but proxies runs when this returns."""
        self.topo.up()
        self._route_directly()
        for place in (self.client, self.server, self.east, self.west):
            tune(place.netns)
        for mode, port in PORTS.items():
            await_ready(self.server.start(
                [topology.program("tombolo-bench-load"), "server", "--mode", mode, "--listen",
                 f"0.0.0.0:{port}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE),
                f"the {mode} server")

    def _directions(self):
        """(node, its pod, the pod's direct addresses) of each side, then the other side's."""
        clients, servers = zip(*(DIRECT[name] for name in direct_ways()))
        sides = ((self.east, self.client, clients), (self.west, self.server, servers))
        return zip(sides, reversed(sides))

    def _route_directly(self):
        """Routes of the bench's own: pod, node, link, node, pod, and no proxy."""
        for (node, pod, own), (other, _, others) in self._directions():
            for name, here, there in zip(direct_ways(), own, others):
                control = f"congctl {name}" if name else ""
                network.batch(pod.netns, [
                    f"addr add {here}/32 dev eth0",
                    f"route add {there}/32 via {network.GATEWAY} dev eth0 src {here} {control}"])
                network.batch(node.netns, [f"route add {here}/32 dev pod-{pod.name}",
                                           f"route add {there}/32 via {other.ip}"])

    def shape_link(self, milliseconds, loss=0, megabits=0):
        """Round trip of the link between the nodes, percent lost each way, and its rate (0: any),
        for all that crosses it. 0 ms is the bare veth link."""
        if milliseconds and not self._delay:
            self._start_delay()
        if self._delay:
            self._delay.stdin.write(f"{milliseconds / 2} {loss} 65536 {megabits}\n".encode())
            self._delay.stdin.flush()
        for (node, _, _), (other, _, others) in self._directions():
            way = f"dev {_DEVICE} src {node.ip}" if milliseconds else "dev link0"
            network.batch(node.netns, [
                f"route replace {other.ip}/32 {way}",
                *(f"route replace {there}/32 dev {_DEVICE}" if milliseconds else
                  f"route replace {there}/32 via {other.ip} dev link0" for there in others)])

    def _start_delay(self):
        self._delay = self.start(self.east, "delay", [
            "/usr/bin/python3", "-B", slow_link.__file__, self.east.netns, _DEVICE,
            self.west.netns, _DEVICE],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        await_ready(self._delay, "the delayed link")
        for node in (self.east, self.west):
            network.batch(node.netns, [f"link set {_DEVICE} mtu 1500 up"])

    def start(self, node, name, argv, **kwargs):
        """A process in a node's namespace and a cgroup of its own, on which no agent's programs
        are attached."""
        cgroup = self.cgroup(node, name)
        os.makedirs(cgroup, exist_ok=True)
        process = host.spawn(argv, cgroup, network.path(node.netns), **kwargs)
        self.topo.processes.append(process)
        return process

    def cgroup(self, node, name):
        """Of a process that start() starts."""
        return f"{self.topo.cgroup}/bench/{name}-{node.name}"

    def complaints(self):
        """What the agents have to say against a result."""
        return [line for agent in self.topo.runners() for line in agent.complaints()]


class FarWorld(World):
    """The same behind gateways: west's uplink is the link with a shape."""

    def __init__(self, name, config=None):
        super().__init__(name, config, gateways=1)
        self.west.link.shape = (0,)

    def _route_directly(self):
        """Nobody here is measured without gateways."""

    def shape_link(self, milliseconds, loss=0, megabits=0):
        self.west.link.change(milliseconds / 2, loss, megabits=megabits)


def congestion_controls():
    """What this kernel has."""
    with open("/proc/sys/net/ipv4/tcp_available_congestion_control", encoding="ascii") as names:
        return names.read().split()


def direct_ways():
    """Those of DIRECT that this kernel has."""
    return [name for name in DIRECT if not name or name in congestion_controls()]


def await_ready(process, what):
    """Waits for the line that says so."""
    if not select.select([process.stdout], [], [], host.PATIENCE)[0] or \
            process.stdout.readline() != b"ready\n":
        raise host.HostError(f"{what} did not start")


def tune(netns):
    """Sets what thousands of connections a second need."""
    def write():
        for key, value in _SYSCTLS.items():
            with open(f"/proc/sys/net/ipv4/{key}", "w", encoding="ascii") as out:
                out.write(value)
    host.in_netns(network.path(netns), write)
