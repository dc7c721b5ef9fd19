# SPDX-License-Identifier: Apache-2.0
"""A gateway's limits of a source address beside those of all, and the zone that it prefers."""
import contextlib
import socket

from netns.gateway_case import GatewayCase, how_it_ends, name_of
from testing import case, host, network
from testing.wire import client_hello

OTHERS = ["198.51.100.1", "198.51.100.2", "198.51.100.3"]  # where more clients are


class LimitsTest(GatewayCase):
    """Clients have several addresses."""

    topology_name = "gwlimits"
    config = {"deadlines": {"handshake": "60s"},
              "limits": {"connections": 12, "connections_per_address": 5, "handshakes": 6,
                         "handshakes_per_address": 3}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        network.batch(cls.west.netns, [f"addr add {address}/32 dev lo" for address in OTHERS])

    def dial_from(self, address, sends=b""):
        """A connection of that source address."""
        sock = host.in_netns(network.path(self.west.netns), lambda: socket.create_connection(
            (self.gateway.host, self.gateway.port), host.PATIENCE, (address, 0)))
        self._sockets.append(sock)
        sock.sendall(sends)
        return sock

    def assert_reset(self, address):
        """One more of that address is refused."""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            self.assertEqual(how_it_ends(self.dial_from(address, client_hello(name_of()))),
                             ("reset", b""))

    def carried_from(self, address):
        """A tunnel whose both ends want it."""
        client = self.dial_from(address, client_hello(name_of()))
        node, _ = self.taken()
        self.assertEqual(len(node.recv(5, socket.MSG_WAITALL)), 5)
        for sender, receiver in ((node, client), (client, node)):
            sender.sendall(b"flight")
            while not receiver.recv(65536).endswith(b"flight"):
                pass
        return client

    def test_connections_of_one_address_and_of_all(self):
        self.assert_works()  # every thread knows the name
        for address, count in zip(OTHERS, (5, 5, 2)):
            for _ in range(count):
                self.carried_from(address)
            if count == 5:
                self.assert_reset(address)
                self.assert_logged(self.gateway, self.log_start, "tunnel refused",
                                   "connections_per_address", address)
        self.assert_refused("connection_limit", 2)
        self.assert_reset(OTHERS[2])  # which has but two
        self.assert_refused("connection_limit", 3)

    def test_handshakes_of_one_address_and_of_all(self):
        for address in OTHERS[:2]:
            for _ in range(3):
                self.dial_from(address)
            self.assert_reset(address)
            self.assert_logged(self.gateway, self.log_start, "tunnel refused",
                               "handshakes_per_address", address)
        self.assert_refused("handshake_limit", 2)
        self.assert_reset(OTHERS[2])  # which has none
        self.assert_refused("handshake_limit", 3)


class ZoneTest(GatewayCase):
    """The gateway is in the zone of the second node."""

    topology_name = "gwzone"

    @classmethod
    def directory(cls, backends, gateways=None):
        whole = super().directory(backends, gateways)
        west = whole["clusters"][0]
        for node, zone in zip(west["nodes"], ("a", "b")):
            node["zone"] = zone
        west["gateways"][0]["zone"] = "b"
        return whole

    def test_nodes_of_the_own_zone_first_and_others_when_those_are_busy(self):
        self.assertEqual([self.tunnel()[2] for _ in range(12)], [1] * 12)
        seen = {self.tunnel()[2] for _ in range(20)}
        self.assertEqual(seen, {0, 1}, "as if there were only one")


if __name__ == "__main__":
    case.main()
