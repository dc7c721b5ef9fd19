# SPDX-License-Identifier: Apache-2.0
"""Where gateways are measured: a client in front of a gateway, the servers where its nodes would be.

A gateway looks at a ClientHello and at nothing behind it, so clients send one that was made before
and then what the load is about; the servers read it away.
"""
import subprocess

from testing import gateway, host, network, topology, wire

import proxies
import subjects
import world as worlds

_CLIENT, _SERVER = "10.1.0.1", "10.1.0.2"  # without a gateway


class _Client:
    """Starts clients where another cluster's node would be."""

    def __init__(self, world):
        self._world = world

    def start(self, argv, **kwargs):
        """A process."""
        return self._world.start(self._world.east, "client", argv, **kwargs)


class GatewayWorld(worlds.World):
    """East has the client; west the gateway, and behind it a namespace with a server for each mode,
    which the directory takes for a node each."""

    def __init__(self, name):  # pylint: disable=super-init-not-called
        self.topo = topo = topology.Topology(name)
        self.east, self.west = topo.cluster("east"), topo.cluster("west")
        self.server = self.west.pod("server", enrolled=False)
        self.client = _Client(self)
        self.gateway = gateway.Gateway(self.west, "west-gw-1")
        # Clients that are only held never answer: those are handshakes to a gateway.
        self.gateway.config = {"limits": {"handshakes": 65536, "handshakes_per_address": 65536}}
        self.agents = [self.gateway]
        self.names = {mode: wire.server_name(f"shop/{mode}", port, self._identity(mode), "west")
                      for mode, port in worlds.PORTS.items()}

    @staticmethod
    def _identity(mode):
        return f"spiffe://{topology.TRUST_DOMAIN}/cluster/west/ns/shop/sa/{mode}"

    def hello(self, mode):
        """The file with the ClientHello for a server."""
        return f"{self.topo.dir}/hello-{mode}"

    def up(self):
        self.topo.up()
        self.topo.write_directory(self._directory())
        self._route_directly()
        for place in (self.server, self.east, self.west):
            worlds.tune(place.netns)
        for mode, port in worlds.PORTS.items():
            with open(self.hello(mode), "wb") as out:
                out.write(wire.client_hello(self.names[mode]))
            worlds.await_ready(self.server.start(
                [topology.program("tombolo-bench-load"), "server", "--mode", mode, "--listen",
                 f"0.0.0.0:{port}", "--preamble", self.hello(mode)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE), f"the {mode} server")

    def _directory(self):
        nodes = [{"name": f"west-{mode}", "tunnel": f"{self.server.ip}:{port}"}
                 for mode, port in worlds.PORTS.items()]
        workloads = [{"name": f"west/{mode}", "cluster": "west", "node": f"west-{mode}",
                      "namespace": "shop", "service_account": mode} for mode in worlds.PORTS]
        services = [{"name": f"shop/{mode}", "vips": [f"10.96.0.{10 + number}"], "ports": [
            {"port": port, "endpoints": [{"workload": f"west/{mode}", "address": "10.0.0.10:1"}]}]}
            for number, (mode, port) in enumerate(worlds.PORTS.items())]
        west = {"name": "west", "nodes": nodes, "gateways": [self.gateway.entry()]}
        return {"trust_domain": topology.TRUST_DOMAIN, "clusters": [self.east.entry(), west],
                "workloads": workloads, "services": services, "allow": []}

    def _route_directly(self):
        network.batch(self.server.netns, [f"addr add {_SERVER}/32 dev eth0"])
        network.batch(self.west.netns, [f"route add {_SERVER}/32 dev pod-{self.server.name}",
                                        f"route add {_CLIENT}/32 via {self.east.ip}"])
        network.batch(self.east.netns, [
            f"addr add {_CLIENT}/32 dev lo",
            f"route add {_SERVER}/32 via {self.west.ip} dev link0 src {_CLIENT}"])

    def complaints(self):
        return self.gateway.complaints()


class Direct(subjects.Direct):
    """Plain TCP through the gateway's namespace, routed."""

    def __init__(self, world, name="gateway-direct"):
        super().__init__(world)
        self.name = name

    def address(self, mode):
        return _SERVER, worlds.PORTS[mode]

    def preamble(self, mode):
        return self.world.hello(mode)


class Gateway(Direct):
    """Ours."""

    def __init__(self, world):
        super().__init__(world, "gateway")
        self.cgroups = [world.gateway.cgroup]

    def start(self):
        self.world.gateway.begin()

    def stop(self):
        self.world.gateway.stop()

    def address(self, _mode):
        return self.world.gateway.host, self.world.gateway.port

    def counters(self):
        samples = self.world.gateway.metrics()
        return {"tunnels": sum(value for name, value in samples.items()
                               if name.startswith("tombolo_gateway_tunnels_total{"))}

    def check(self, grown, expected):
        if grown["tunnels"] != expected:
            raise host.HostError(f"the gateway carried {grown['tunnels']:g} tunnels, "
                                 f"not {expected}")


class Peer(Direct):
    """Somebody else's proxy in place of the gateway."""

    def __init__(self, world, kind):
        super().__init__(world, kind.name)
        self._address = world.west.ip, gateway.PORT + 1 + proxies.SNI_KINDS.index(kind)
        where = {"listen": self._address[0], "port": self._address[1], "target": world.server.ip}
        self._proxy = proxies.Proxy(world, kind, world.west, kind.template, where, {
            mode: {"port": self._address[1], "server_port": port,
                   "server_name": world.names[mode]} for mode, port in worlds.PORTS.items()})
        self.cgroups = [self._proxy.cgroup]
        self.start, self.stop = self._proxy.start, self._proxy.stop

    def address(self, _mode):
        return self._address
