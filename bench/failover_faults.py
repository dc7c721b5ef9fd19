# SPDX-License-Identifier: Apache-2.0
"""What breaks, each in a world of its own (failover_world.py)."""
import time
from dataclasses import dataclass
from typing import Callable

from failover_world import LinkedWorld, World
from testing import network, wide


@dataclass(frozen=True)
class Fault:
    """`begin(world)` returns what has died with it: nodes, gateways, and clusters of which nothing
    can be reached; `end(world)` undoes it. `holds` is the least number of seconds between them, for
    what takes its time to be noticed; `world` is what it meets."""
    name: str
    begin: Callable
    end: Callable
    holds: float = 0.0
    world: Callable = World


def _kill(*places):
    for place in places:
        place.agent.kill()
    return places


def _start(*places):
    for place in places:
        place.agent.start()
    for place in places:
        place.agent.wait_ready()


def _unplug(node):
    network.batch(node.netns, ["link set lan down"])
    return (node,)


def _plug_in(node):
    network.batch(node.netns, ["link set lan up"])
    wide.route(node)


def _black_hole(cluster):
    cluster.link.black_hole()
    return (cluster,)


def _flap(cluster):
    """A second without and a second with it, five times."""
    for number in range(5):
        cluster.link.black_hole()
        time.sleep(1)
        cluster.link.black_hole(False)
        if number < 4:
            time.sleep(1)
    return ()


def _kill_publisher(world):
    world.killed = world.publisher(world.west)
    return _kill(world.killed)


def _kill_other_gateway(world):
    publisher = world.publisher(world.west)
    world.killed = next(one for one in world.west.gateways if one is not publisher)
    return _kill(world.killed)


def _lossy(world):
    world.west.link.change(150, 7)
    return ()


def _cut(world):
    world.cut_from_etcd(world.west)
    return ()


def _stop_member(world):
    world.etcd.members[0].stop()
    return ()


def _stop_etcd(world):
    world.etcd.stop()
    return ()


def _kill_first_gateway(cluster):
    return _kill(cluster.gateways[0])


def _swallow_first_gateway(cluster):
    cluster.link.swallow(cluster.gateways[0].ip)
    return ()


# A lease is over 15 s after its holder has gone.
_LEASE = 20.0
FAULTS = (
    Fault("none", lambda world: (), lambda world: None),
    Fault("agent of a serving node killed", lambda world: _kill(world.west.nodes[0]),
          lambda world: _start(world.west.nodes[0])),
    Fault("serving node unplugged", lambda world: _unplug(world.west.nodes[0]),
          lambda world: _plug_in(world.west.nodes[0])),
    Fault("gateway killed", _kill_other_gateway, lambda world: _start(world.killed)),
    Fault("gateway killed that publishes", _kill_publisher, lambda world: _start(world.killed),
          _LEASE),
    Fault("cluster killed: connections refused", lambda world: _kill(*world.west.places()),
          lambda world: _start(*world.west.places()), _LEASE),
    Fault("cluster black-holed", lambda world: _black_hole(world.west),
          lambda world: world.west.link.black_hole(False), _LEASE),
    Fault("cluster's leases lost", _cut,
          lambda world: world.cut_from_etcd(world.west, False), _LEASE),
    Fault("link flapping, 1 s and 1 s", lambda world: _flap(world.west), lambda world: None),
    Fault("link with 300 ms and 7 % loss", _lossy, lambda world: world.west.link.change(5)),
    Fault("one member of etcd killed", _stop_member,
          lambda world: world.etcd.members[0].start()),
    Fault("all of etcd killed", _stop_etcd, lambda world: world.etcd.start()),
    Fault("links: none", lambda world: (), lambda world: None, world=LinkedWorld),
    Fault("links: gateway killed that dials", lambda world: _kill_first_gateway(world.south),
          lambda world: _start(world.south.gateways[0]), world=LinkedWorld),
    Fault("links: gateway killed that accepts", lambda world: _kill_first_gateway(world.west),
          lambda world: _start(world.west.gateways[0]), world=LinkedWorld),
    Fault("links: one gateway's black-holed", lambda world: _swallow_first_gateway(world.south),
          lambda world: world.south.link.swallow(world.south.gateways[0].ip, False), _LEASE, LinkedWorld),
    Fault("links: all black-holed", lambda world: _black_hole(world.south),
          lambda world: world.south.link.black_hole(False), _LEASE, LinkedWorld),
    Fault("links: all flapping, 1 s and 1 s", lambda world: _flap(world.south), lambda world: None,
          world=LinkedWorld),
)
