# SPDX-License-Identifier: Apache-2.0
"""What is compared, by name: each is brought up when it is asked for. All subjects of a question carry
the same load."""
import gateway_world
import proxies
import subjects
import world as worlds

_WITHOUT_IDLE_TUNNELS = {"deadlines": {"idle_tunnel": "0s"}}
# name -> what differs in the agents' configuration. No tunnel is kept without a connection:
# each connection is a mutual handshake.
_TOMBOLO = {"tombolo": {}, "tombolo-full": _WITHOUT_IDLE_TUNNELS,
            "tombolo-kernel": {"relay": "kernel"}, "tombolo-user": {"relay": "user"},
            # Bulk by recv and send in both directions, by splice in one, in both.
            "tombolo-copy": {"relay": "kernel", "splice": "none"},
            "tombolo-splicerx": {"relay": "kernel", "splice": "receive"},
            "tombolo-splice": {"relay": "kernel", "splice": "both"}}
# The same with a gateway of each cluster.
_FAR = {"tombolo-gateway": {}, "tombolo-gateway-full": _WITHOUT_IDLE_TUNNELS}
_CONTROLS = {f"direct-{name}": name for name in worlds.DIRECT if name}
_PEERS = {kind.name: kind for kind in proxies.KINDS}
_GATEWAYS = {"gateway-direct": gateway_world.Direct, "gateway": gateway_world.Gateway}
_SNI_PEERS = {kind.name: kind for kind in proxies.SNI_KINDS}
NAMES = ("direct", *_CONTROLS, *_TOMBOLO, *_FAR, *_PEERS, *_GATEWAYS, *_SNI_PEERS)


class Session:
    """Brings up worlds and subjects as they are asked for; down() removes all of them."""

    def __init__(self):
        self._worlds, self._subjects = {}, {}

    def _world(self, name, make):
        if name not in self._worlds:
            self._worlds[name] = made = make(name)
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
        if name in _GATEWAYS:
            return _GATEWAYS[name](self._world("benchgw", gateway_world.GatewayWorld))
        if name in _SNI_PEERS:
            return gateway_world.Peer(self._world("benchgw", gateway_world.GatewayWorld),
                                      _SNI_PEERS[name])
        if name in _FAR:
            return subjects.Tombolo(self._own_world(name, worlds.FarWorld, _FAR[name]), name)
        if name in _TOMBOLO and name != "tombolo":
            return subjects.Tombolo(self._own_world(name, worlds.World, _TOMBOLO[name]), name)
        world = self._world("bench", worlds.World)
        if name == "tombolo":
            return subjects.Tombolo(world, name)
        if name in _PEERS:
            return subjects.Peer(world, _PEERS[name])
        return subjects.Direct(world, _CONTROLS.get(name, ""))

    def _own_world(self, name, kind, config):
        """A cluster has one agent: each configuration needs clusters of its own."""
        return self._world("bench" + name.removeprefix("tombolo").replace("-", ""),
                           lambda topology: kind(topology, config))

    def shape_link(self, names, *shape):
        """Of the worlds of these subjects."""
        for world in {self.subject(name).world for name in names}:
            world.shape_link(*shape)

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
    kinds = _PEERS | _SNI_PEERS
    if name in kinds:
        return kinds[name].missing()
    control = _CONTROLS.get(name)
    return control if control and control not in worlds.direct_ways() else None
