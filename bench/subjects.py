# SPDX-License-Identifier: Apache-2.0
"""What carries a load between two pods."""
from testing import host, network

import proxies
import world as worlds


class Direct:
    """Plain TCP from pod to pod, with a congestion control of its own if `control` names one."""

    def __init__(self, world, control=""):
        self.world, self.cgroups, self._control = world, [], control
        self.name = f"direct-{control}" if control else "direct"

    def start(self):
        """There is nothing to start."""

    stop = start

    def address(self, mode):
        """Where the client connects to for a server."""
        return worlds.DIRECT[self._control][1], worlds.PORTS[mode]

    def preamble(self, _mode):
        """The file that a connection to that server begins with; none: nothing."""
        return None

    def counters(self):
        """What grows while it works, to show that it did."""
        return {}

    def check(self, grown, expected):
        """Raises when the counters do not fit the connections that were made."""


class Peer(Direct):
    """Two proxies of somebody else's."""

    def __init__(self, world, kind):
        super().__init__(world)
        self.name, self._kind, self._pair = kind.name, kind, proxies.Pair(world, kind)
        self.cgroups = self._pair.cgroups
        self.start, self.stop = self._pair.start, self._pair.stop

    def address(self, mode):
        return network.GATEWAY, self._pair.ports[mode]

    def counters(self):
        nodes = (self.world.east, self.world.west) if self._kind.kernel_tls else ()
        return {"kernel_tls_senders": sum(proxies.kernel_tls_senders(node.netns)
                                          for node in nodes)}

    def check(self, grown, expected):
        """OpenSSL goes on without kernel TLS, and says nothing, where it cannot be had."""
        if self._kind.kernel_tls and grown["kernel_tls_senders"] < 2 * expected:
            raise host.HostError(f"{self.name}: {grown['kernel_tls_senders']} directions of "
                                 f"{expected} connections were sealed in the kernel")


class Tombolo(Direct):
    """Both agents of a world, and its gateways."""

    def __init__(self, world, name):
        super().__init__(world)
        self.name = name
        self.cgroups = [runner.cgroup for runner in world.topo.runners()]

    def start(self):
        self.world.topo.start_agents()

    def stop(self):
        for runner in self.world.topo.runners():
            runner.stop()

    def address(self, mode):
        return self.world.service.vip, worlds.PORTS[mode]

    def counters(self):
        samples = [agent.metrics() for agent in self.world.agents]
        return {"connections": sum(one['tombolo_connections_total{role="dialer"}']
                                   for one in samples),
                "handshakes": sum(one['tombolo_tunnels_total{role="dialer"}']
                                  for one in samples)}

    def check(self, grown, expected):
        if grown["connections"] != expected:
            raise host.HostError(f"{self.name}: the agents relayed {grown['connections']:g} "
                                 f"connections, not {expected}")
