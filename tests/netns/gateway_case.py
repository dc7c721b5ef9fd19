# SPDX-License-Identifier: Apache-2.0
"""What the tests of a gateway share: clients and nodes that are the tests' own. It looks at nothing
but the name in a ClientHello, so that neither needs to speak more of TLS than that."""
import contextlib
import queue
import socket
import struct
import threading

from testing import case, host, network, wire
from testing.gateway import Gateway
from testing.topology import TRUST_DOMAIN
from testing.wire import client_hello

SERVICE, PORT = "shop/web", 80
RESET = struct.pack("ii", 1, 0)  # SO_LINGER


def identity(account):
    """Of a workload in west."""
    return f"spiffe://{TRUST_DOMAIN}/cluster/west/ns/shop/sa/{account}"


def name_of(account="web", cluster="west", service=SERVICE, port=PORT):
    """What a dialer asks for."""
    return wire.server_name(service, port, identity(account), cluster)


def reset(sock):
    """Closes by a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


def how_it_ends(sock):
    """"eof" or "reset", and what came before."""
    got = b""
    try:
        while data := sock.recv(65536):
            got += data
        return "eof", got
    except ConnectionResetError:
        return "reset", got


class Node(threading.Thread):
    """Where an agent would listen: take() is the gateway's next connection."""

    def __init__(self, netns, address):
        super().__init__(daemon=True)
        self.address = address
        where, port = address.rsplit(":", 1)
        self._listener = host.in_netns(network.path(netns),
                                       lambda: socket.create_server((where, int(port))))
        self._accepted = queue.Queue()
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.settimeout(host.PATIENCE)
                self._accepted.put(sock)

    def take(self):
        """The next connection; an error if none comes."""
        return self._accepted.get(timeout=host.PATIENCE)

    def has_none(self):
        """Nobody has connected that has not been taken."""
        return self._accepted.empty()

    def close(self):
        """Nobody listens there any more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join(host.PATIENCE)


class Backend:
    """An endpoint of the directory without a pod."""

    def __init__(self, node, account="web", ready=True, weight=1):
        self.node, self.account, self.ready, self.weight = node, account, ready, weight
        self.workload = f"west/{account}-{node}"

    def entry(self):
        """Below its service."""
        return {"workload": self.workload, "address": "10.0.0.10:8080", "ready": self.ready,
                "weight": self.weight}

    def workload_entry(self):
        """Among the workloads."""
        return {"name": self.workload, "cluster": "west", "node": self.node, "namespace": "shop",
                "service_account": self.account}


class GatewayCase(case.TopologyCase):
    """west with two nodes and a gateway in front of them."""

    start_agents = False
    config = {}
    backends = (Backend("west-1"), Backend("west-2"))

    @classmethod
    def build(cls):
        cls.west = cls.topo.cluster("west")
        cls.gateway = Gateway(cls.west, "west-gw-1")
        cls.gateway.config = cls.config

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        ip = cls.west.ip
        cls.nodes = [Node(cls.west.netns, f"{ip}:1600{n}") for n in (1, 2)]
        cls.write(cls.backends)
        cls.gateway.begin()

    @classmethod
    def directory(cls, backends, gateways=None):
        """With these endpoints of the one service."""
        gateways = [cls.gateway.entry()] if gateways is None else gateways
        west = {"name": "west", "nodes": [{"name": f"west-{n}", "tunnel": node.address}
                                          for n, node in enumerate(cls.nodes, 1)]}
        if gateways:
            west["gateways"] = gateways
        east = {"name": "east", "nodes": [{"name": "east-1", "tunnel": "172.31.9.9:15008"}]}
        service = {"name": SERVICE, "vips": ["10.96.0.10"],
                   "ports": [{"port": PORT, "endpoints": [b.entry() for b in backends]}]}
        return {"trust_domain": TRUST_DOMAIN, "clusters": [west, east],
                "workloads": [b.workload_entry() for b in backends], "services": [service],
                "allow": []}

    @classmethod
    def write(cls, backends, gateways=None):
        """Replaces the directory."""
        cls.topo.write_directory(cls.directory(backends, gateways))

    def setUp(self):
        super().setUp()
        self.log_start = len(self.gateway.log())
        if self.gateway.process.poll() is not None:
            self.gateway.start()
            self.gateway.wait_ready()
        self.before = self.gateway.metrics()
        self._sockets = []

    def tearDown(self):
        for sock in self._sockets:
            sock.close()
        if self.gateway.process.poll() is None:
            host.wait_until("the gateway to carry nothing", lambda: not self.gateway.tunnels())
        self.drop_untaken()
        self.assertEqual(self.gateway.complaints(self.log_start), [])
        super().tearDown()

    def dial(self, sends=b""):
        """A connection to the gateway."""
        address = (self.gateway.host, self.gateway.port)
        sock = host.in_netns(network.path(self.west.netns), lambda: socket.create_connection(
            address, timeout=host.PATIENCE))
        self._sockets.append(sock)
        if sends:
            sock.sendall(sends)
        return sock

    def how_refused(self, sends):
        """How a connection ends that is refused: it may be before it has sent anything."""
        try:
            return how_it_ends(self.dial(sends))
        except ConnectionResetError:
            return "reset", b""

    def taken(self):
        """The gateway's next connection to whichever node, and which one."""
        def some():
            return next((n for n, node in enumerate(self.nodes) if not node.has_none()), None)
        host.wait_until("a connection to a node", lambda: some() is not None)
        number = some()
        sock = self.nodes[number].take()
        self._sockets.append(sock)
        return sock, number

    def drop_untaken(self):
        """Closes the connections to nodes that nobody has taken."""
        while not all(node.has_none() for node in self.nodes):
            for node in self.nodes:
                if not node.has_none():
                    node.take().close()

    def dial_known(self, hello):
        """A connection with this ClientHello to a gateway that knows the name: a new directory
        reaches it, and then each of its threads, in its own time."""
        before = self.gateway.refused("unknown_name")
        client = self.dial(hello)

        def answered():
            return (self.gateway.refused("unknown_name") > before
                    or not all(node.has_none() for node in self.nodes))
        host.wait_until("an answer of the gateway", answered)
        return None if self.gateway.refused("unknown_name") > before else client

    def tunnel(self, hello=None):
        """Both ends of a tunnel whose ClientHello has arrived, and the node's number."""
        hello = hello or client_hello(name_of())
        client = host.wait_until("the name to be known", lambda: self.dial_known(hello))
        node, number = self.taken()
        got = b""
        while len(got) < len(hello):
            got += node.recv(len(hello) - len(got))
        self.assertEqual(got, hello)
        return client, node, number

    def answered(self):
        """The same, of which the gateway has seen that both ends want it."""
        client, node, number = self.tunnel()
        for sender, receiver in ((node, client), (client, node)):
            sender.sendall(b"flight")
            self.assertEqual(receiver.recv(6, socket.MSG_WAITALL), b"flight")
        return client, node, number

    def assert_works(self):
        """A tunnel from beginning to end."""
        client, node, _ = self.tunnel()
        node.sendall(b"answer")
        self.assertEqual(client.recv(6), b"answer")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(how_it_ends(node), ("eof", b""))
        node.close()
        self.assertEqual(how_it_ends(client), ("eof", b""))

    def assert_refused(self, reason, count=1):
        """So many more for this reason since the test began."""
        key = f'tombolo_gateway_refused_total{{reason="{reason}"}}'
        host.wait_until(f"{count} refused for {reason}",
                        lambda: self.gateway.refused(reason) == self.before[key] + count)
