# SPDX-License-Identifier: Apache-2.0
"""What a backend learns from the PROXY protocol: byte for byte, and as nginx and HAProxy read it."""
import ipaddress
import os
import struct
import subprocess
import sys

from testing import case, driver, host, network
from testing.conversation import pattern
from testing.topology import Endpoint

RAW, NGINX, HAPROXY = 8080, 8081, 8082
SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
TLV_SPIFFE_ID = 0xd0

# Says in hex what one connection after another has sent, and answers.
_RECEIVER = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])), family=int(sys.argv[3]))
print("listening", flush=True)
while True:
    connection, _ = server.accept()
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    print(data.hex(), flush=True)
    connection.sendall(b"seen")
    connection.close()
"""

_NGINX = """
daemon off;
user root;
pid {dir}/nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  server {{
    listen {ip}:{port} proxy_protocol;
    location / {{
      return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port";
    }}
  }}
}}
"""

_HAPROXY = """
defaults
  mode http
  timeout connect 60s
  timeout client 60s
  timeout server 60s
frontend tombolo
  bind {ip}:{port} accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port]"
"""


class ProxyProtocolTest(case.TopologyCase):
    """A client in east; backends in west, on the client's own node, and behind west's name."""

    topology_name = "proxyproto"
    gateways = 0  # of each cluster

    @classmethod
    def build(cls):
        cls.east, cls.west = (cls.topo.cluster(name, gateways=cls.gateways)
                              for name in ("east", "west"))
        cls.client, cls.local = cls.east.pod("client"), cls.east.pod("local")
        cls.server = cls.west.pod("server")
        cls.services = {}
        for name, pod, port in (("raw", cls.server, RAW), ("local", cls.local, RAW),
                                ("nginx", cls.server, NGINX), ("haproxy", cls.server, HAPROXY)):
            cls.services[name] = cls.topo.service(
                f"shop/{name}", 80, [Endpoint(pod, port)])
            cls.services[name].proxy_protocol = "v2"
            cls.topo.allow(cls.client, f"shop/{name}")
        cls.services["raw"].ports[81] = [Endpoint(cls.server, RAW, cls.server.ip6)]
        cls.services["plain"] = cls.topo.service("shop/plain", 80, [Endpoint(cls.server, RAW)])
        cls.topo.allow(cls.client, "shop/plain")

    def receive(self, pod, family=2):
        """A receiver in a pod: its process."""
        process = pod.start([sys.executable, "-c", _RECEIVER, pod.ip6 if family == 10 else pod.ip,
                             str(RAW), str(family)], stdout=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline(), "listening\n")
        return process

    def send(self, receiver, vip, port=80):
        """What arrived of ten bytes, and the client's own port."""
        result = driver.connect(self.client, vip, port, "names,send:10,shutdown,read-text")
        self.assertEqual(result.get("text"), "seen", result)
        return bytes.fromhex(receiver.stdout.readline()), result["sockname"][1]

    def check(self, received, family, source, destination):
        """Byte for byte as the specification has it, and the application's bytes behind it."""
        packed = b"".join(ipaddress.ip_address(ip).packed for ip, _ in (source, destination))
        rest = packed + struct.pack("!HH", source[1], destination[1])
        identity = self.client.id.encode()
        rest += struct.pack("!BH", TLV_SPIFFE_ID, len(identity)) + identity
        expected = SIGNATURE + bytes([0x21, family]) + struct.pack("!H", len(rest)) + rest
        self.assertEqual(received.hex(), (expected + pattern("client", 0, 10)).hex())

    def start_server(self, argv, text, port):
        """A web server in the server's pod, that listens."""
        path = f"{self.topo.dir}/{os.path.basename(argv[0])}.conf"
        with open(path, "w", encoding="ascii") as config:
            config.write(text.format(ip=self.server.ip, port=port, dir=self.topo.dir))
        self.server.start([*argv, path])

        def listens():
            return f":{port} " in host.in_netns(network.path(self.server.netns),
                                                lambda: host.sh("ss", "-Hltn"))
        host.wait_until(f"{argv[0]} to listen", listens)

    def curl(self, name):
        """What the server says of a connection, and what the client knows of it."""
        vip = self.services[name].vip
        result = self.client.run(["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time",
                                  "60", "--write-out", " %{local_port}", f"http://{vip}/"])
        self.assertEqual(result.returncode, 0, result)
        *seen, port = result.stdout.split()
        self.assertEqual(seen, [self.client.ip, port, vip, "80"])

    def test_ipv4(self):
        receiver = self.receive(self.server)
        for _ in range(3):  # the second and third through a tunnel that is warm
            received, port = self.send(receiver, self.services["raw"].vip)
            self.check(received, 0x11, (self.client.ip, port), (self.services["raw"].vip, 80))

    def test_ipv6(self):
        receiver = self.receive(self.server, family=10)
        received, port = self.send(receiver, self.services["raw"].vip6, 81)
        self.check(received, 0x21, (self.client.ip6, port), (self.services["raw"].vip6, 81))

    def test_on_the_clients_own_node(self):
        receiver = self.receive(self.local)
        received, port = self.send(receiver, self.services["local"].vip)
        self.check(received, 0x11, (self.client.ip, port), (self.services["local"].vip, 80))

    def test_a_port_without_it_gets_what_the_client_sends(self):
        received, _ = self.send(self.receive(self.server), self.services["plain"].vip)
        self.assertEqual(received, pattern("client", 0, 10))

    def test_nginx(self):
        case.need("nginx", "curl")
        self.start_server(["nginx", "-c"], _NGINX, NGINX)
        self.curl("nginx")

    def test_haproxy(self):
        case.need("haproxy", "curl")
        self.start_server(["haproxy", "-db", "-f"], _HAPROXY, HAPROXY)
        self.curl("haproxy")

    def test_connections_show_the_address_that_others_know(self):
        driver.echo(self.server, RAW)
        held = driver.Peer(self.client, "hold", self.services["plain"].vip, 80, 1)
        self.assertEqual(held.next(), {"open": 1, "failures": []})
        for cluster in (self.east, self.west):
            connection, = cluster.agent.connections(self.client)
            self.assertEqual(connection["source_address"].rsplit(":", 1)[0], self.client.ip)
        held.kill()
        self.east.agent.wait_no_connections()


class AcrossGatewaysTest(ProxyProtocolTest):
    """The same between clusters that reach each other through gateways only."""

    topology_name = "proxygw"
    gateways = 2


if __name__ == "__main__":
    case.main()
