# SPDX-License-Identifier: Apache-2.0
"""What is compared. All subjects carry the same load between the same pods."""
from testing import host, network

import proxies
import world as worlds

# name -> what differs in the agents' configuration. No tunnel is kept without a connection:
# each connection is a mutual handshake.
TOMBOLO = {"tombolo": {}, "tombolo-full": {"deadlines": {"idle_tunnel": "0s"}},
           "tombolo-kernel": {"relay": "kernel"}, "tombolo-user": {"relay": "user"},
           # Bulk by recv and send in both directions, by splice in one, in both.
           "tombolo-copy": {"relay": "kernel", "splice": "none"},
           "tombolo-splicerx": {"relay": "kernel", "splice": "receive"},
           "tombolo-splice": {"relay": "kernel", "splice": "both"}}
_PEERS = {kind.name: kind for kind in proxies.KINDS}
NAMES = ("direct", *TOMBOLO, *_PEERS)
# Neither of them encrypts.
PLAIN = ("direct", "haproxy-plain")


class Direct:
    """Plain TCP from pod to pod."""

    def __init__(self, world):
        self.world, self.name, self.cgroups = world, "direct", []

    def start(self):
        """There is nothing to start."""

    stop = start

    def address(self, mode):
        """Where the client connects to for a server."""
        return worlds.DIRECT_SERVER, worlds.PORTS[mode]

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
    """Both agents of a world."""

    def __init__(self, world, name):
        super().__init__(world)
        self.name = name
        self.cgroups = [f"{cluster.cgroup}/agent" for cluster in (world.east, world.west)]

    def start(self):
        self.world.topo.start_agents()

    def stop(self):
        for agent in self.world.agents:
            agent.stop()

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


class Session:
    """Brings up worlds and subjects as they are asked for; down() removes all of them."""

    def __init__(self):
        self._worlds, self._subjects = {}, {}

    def _world(self, name, config=None):
        if name not in self._worlds:
            self._worlds[name] = made = worlds.World(name, config)
            made.up()
        return self._worlds[name]

    def subject(self, name):
        """The subject, running. Idle until it is used, and so no burden for the others."""
        if name not in self._subjects:
            made = self._make(name)
            made.start()
            self._subjects[name] = made
        return self._subjects[name]

    def _make(self, name):
        if name in TOMBOLO and name != "tombolo":
            # A cluster has one agent: each configuration needs clusters of its own.
            return Tombolo(self._world("bench" + name.removeprefix("tombolo-"), TOMBOLO[name]),
                           name)
        world = self._world("bench")
        if name == "direct":
            return Direct(world)
        return Tombolo(world, name) if name == "tombolo" else Peer(world, _PEERS[name])

    def set_round_trip(self, milliseconds):
        """Of every world's link."""
        for world in self._worlds.values():
            world.set_round_trip(milliseconds)

    def complaints(self):
        """Of all agents."""
        return [line for world in self._worlds.values() for line in world.complaints()]

    def down(self):
        """Removes every trace."""
        for world in self._worlds.values():
            world.topo.down()
        self._worlds, self._subjects = {}, {}


def missing(name):
    """What this machine lacks for a subject, or None."""
    return _PEERS[name].missing() if name in _PEERS else None
