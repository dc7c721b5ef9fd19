# SPDX-License-Identifier: Apache-2.0
"""An acceptor with a good certificate that breaks tombolo/1: the dialer ends that tunnel and says
why, and nothing else does."""
import socket
import ssl
import struct
import threading

from testing import case, driver, host, network, pki, wire
from testing.topology import TUNNEL_PORT, Endpoint

RESULT_OK = wire.field(1, 1)


class AcceptedTunnel(wire.Tunnel):
    """The same records from the other end."""

    def __init__(self, sock, context):  # pylint: disable=super-init-not-called
        self.sock = sock
        cipher, secrets = self._establish(context, None)
        self._out = wire.Direction(cipher, secrets["SERVER_TRAFFIC_SECRET_0"])
        self._in = wire.Direction(cipher, secrets["CLIENT_TRAFFIC_SECRET_0"])

    def _handshake(self, context, sni):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.sock.sendall(outgoing.read())
                data = self.sock.recv(65536)
                if not data:
                    raise ConnectionResetError("the dialer ended the handshake") from None
                incoming.write(data)
        self.sock.sendall(outgoing.read())
        return incoming.read(), session.cipher()[0]

    def expect(self, kind):
        """The next message, which must be of this type."""
        message = self.receive_message()
        if message is None or message[0] != kind:
            raise AssertionError(f"{message} instead of {kind}")

    def greet(self):
        """HELLO both ways, and the dialer's OPEN."""
        self.message(wire.HELLO, wire.hello(), connection=0)
        self.expect(wire.HELLO)
        self.expect(wire.OPEN)

    def accept(self):
        """Until the dialer may relay."""
        self.greet()
        self.message(wire.RESULT, RESULT_OK)

    def carry(self):
        """One connection from its beginning to its end: the tunnel is idle after it."""
        self.accept()
        self.message(wire.END)
        self.expect(wire.END)
        self.message(wire.DONE)


class HostileAcceptor(threading.Thread):
    """Listens where an agent should; plays `act` on each tunnel, and waits for its end."""

    def __init__(self, cluster, files):
        super().__init__(daemon=True)
        self.context = wire.server_context(*files, f"{cluster.dir}/bundle.pem")
        self.listener = host.in_netns(network.path(cluster.netns),
                                      lambda: socket.create_server((cluster.ip, TUNNEL_PORT)))
        self.act, self.errors, self.ended = None, [], threading.Semaphore(0)
        self.start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:  # closed
                return
            sock.settimeout(host.PATIENCE)
            try:
                tunnel = AcceptedTunnel(sock, self.context)
                self.act(tunnel)
                while tunnel.receive_message() is not None:
                    pass
            except Exception as error:  # pylint: disable=broad-except
                self.errors.append(error)
            sock.close()
            self.ended.release()

    def stop(self):
        """Ends the thread."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.join(timeout=host.PATIENCE)


# What it sends, and words of the line that the dialer logs about it.
INSTEAD_OF_HELLO = (
    (lambda t: t.send(wire.CONTROL, b""), "control record"),
    (lambda t: t.send(wire.CONTROL, b"\1\0\0"), "control record"),
    (lambda t: t.send(wire.APPLICATION, b"no HELLO"), "application data outside a connection"),
    (lambda t: t.message(wire.RESULT, RESULT_OK), "before HELLO"),
    (lambda t: t.message(wire.HELLO, b"\xff\xff\xff", connection=0), "HELLO does not parse"),
    (lambda t: t.message(wire.HELLO, wire.hello(version=77), connection=0), "version 77"),
)
INSTEAD_OF_RESULT = (
    (lambda t: t.message(99, b"unknown, and not optional"), "99"),
    (lambda t: t.message(wire.RESULT, RESULT_OK, length=1), "claims 1 payload bytes"),
    (lambda t: t.message(wire.RESULT, b"\xff" * 100), "RESULT does not parse"),
    (lambda t: t.message(wire.RESULT, RESULT_OK, connection=7), "for another connection"),
    (lambda t: t.message(wire.HELLO, wire.hello(), connection=0), "HELLO twice"),
    (lambda t: t.message(wire.OPEN, b"", connection=2), "OPEN sent to a dialer"),
    (lambda t: t.message(wire.DONE), "DONE instead of RESULT"),
    (lambda t: t.send(wire.APPLICATION, b"early"), "application data outside a connection"),
    (lambda t: t.send(wire.CONTROL, b"\3\0" + struct.pack("!HI", 5000, 1) + b"x" * 5000), "control record of 5008 bytes"),
    (lambda t: t.send(200, b"a content type that nobody knows"), "unexpected type 200"),
    (lambda t: t.send(22, b"\x04\0\0\1\0"), "unexpected handshake message"),  # a ticket
    (lambda t: t.sock.sendall(b"\x17\x03\x03\xff\xff" + b"x" * 1000), "record of 65535 bytes"),
    (lambda t: t.sock.sendall(b"\x17\x03\x03\0\x40" + b"x" * 64), "does not authenticate"),
)
WHILE_A_CONNECTION_RUNS = (
    (lambda t: t.message(wire.RESULT, RESULT_OK), "RESULT within a connection"),
    (lambda t: t.message(wire.DONE), "DONE before END"),
    (lambda t: t.message(wire.END, connection=2), "for another connection"),
    (lambda t: t.message(wire.END, b"payload"), "END"),
    (lambda t: t.send(wire.CONTROL, b"\0" * 9), "control record"),
)
AFTER_ITS_END = (
    (lambda t: t.message(wire.END), "END twice"),
    (lambda t: t.send(wire.APPLICATION, b"late"), "application data"),
)
WHILE_IDLE = (
    (lambda t: t.message(wire.END), "END on an idle tunnel"),
    (lambda t: t.message(wire.RESULT, RESULT_OK), "RESULT on an idle tunnel"),
    (lambda t: t.send(wire.APPLICATION, b"nobody asked"), "application data outside a connection"),
    (lambda t: t.send(wire.CONTROL, b"\1\0\0"), "control record"),
    (lambda t: t.sock.sendall(b"\x17\x03\x03\0\x40" + b"x" * 64), "does not authenticate"),
)


class HostileAcceptorTest(case.TopologyCase):
    """East dials; west is hostile; north serves a bystander."""

    topology_name = "hostile"
    start_agents = False
    wording = {}  # words of the lists above -> how records of another layer say it

    @classmethod
    def build(cls):
        cls.east, cls.west = cls.topo.cluster("east"), cls.topo.cluster("west")
        cls.north = cls.topo.cluster("north")
        cls.east.agent.config = {"deadlines": {"ping": "0s"}}  # the other end is for each test
        cls.client = cls.east.pod("client")
        cls.good, cls.bad = cls.north.pod("good"), cls.west.pod("bad")
        cls.service = cls.topo.service("shop/bad", 80, [Endpoint(cls.bad, 8080)])
        cls.good_service = cls.topo.service("shop/good", 80, [Endpoint(cls.good, 8080)])
        for name in ("shop/bad", "shop/good"):
            cls.topo.allow(cls.client, name)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        files = pki.second_root(cls.topo).issue("bad", cls.bad.id)
        for cluster in (cls.east, cls.north):
            cluster.agent.start()
        for cluster in (cls.east, cls.north):
            cluster.agent.wait_ready()
        cls.hostile = HostileAcceptor(cls.west, files)
        cls.addClassCleanup(cls.hostile.stop)

    def setUp(self):
        super().setUp()
        self.server = driver.echo(self.good, 8080)
        self.bystander = driver.Peer(self.client, "hold", self.good_service.vip, 80, 5)
        self.assertEqual(self.bystander.next()["open"], 5)

    def tearDown(self):
        self.bystander.tell()
        self.assertEqual(self.bystander.next()["alive"], 5, "other connections were hit")
        self.server.kill()
        super().tearDown()

    def assert_ended(self, breaches, prepare, script, end):
        """Each breach ends its own tunnel, is counted once and logged with its words."""
        agent = self.east.agent
        for breach, words in breaches:
            with self.subTest(words):
                self.hostile.act = lambda t, breach=breach: (prepare(t), breach(t))
                before, start = agent.metrics(), len(agent.log())
                result = driver.connect(self.client, self.service.vip, 80, script)
                self.assertEqual(result["end"], end, result)
                self.assertTrue(self.hostile.ended.acquire(timeout=host.PATIENCE))
                self.assertEqual(self.hostile.errors, [])
                self.assert_counted(agent, before, "protocol_errors")
                self.assert_logged(agent, start, "reason=", self.wording.get(words, words))

    def test_instead_of_hello(self):
        self.assert_ended(INSTEAD_OF_HELLO, lambda t: None, "recv-eof", "reset")

    def test_instead_of_the_result(self):
        self.assert_ended(INSTEAD_OF_RESULT, AcceptedTunnel.greet, "recv-eof", "reset")

    def test_while_a_connection_runs(self):
        self.assert_ended(WHILE_A_CONNECTION_RUNS, AcceptedTunnel.accept, "sleep:0.3,recv-eof",
                          "reset")

    def test_after_its_end(self):
        """The application has its end of the stream, and cannot send any more."""
        def end(tunnel):
            tunnel.accept()
            tunnel.message(wire.END)
        self.assert_ended(AFTER_ITS_END, end, "recv-eof,drip:20:0.2", "reset")

    def test_a_new_tunnel_that_ends_in_order(self):
        """No breach: the SVID that it was made with has been replaced. Another one carries."""
        def farewell(tunnel):
            tunnel.greet()
            tunnel.message(wire.GOAWAY, connection=0)
            tunnel.send(wire.ALERT, wire.CLOSE_NOTIFY)
        def carry(tunnel):
            tunnel.carry()
            tunnel.send(wire.ALERT, wire.CLOSE_NOTIFY)  # nobody else gets it
        acts = [farewell, farewell, carry]
        self.hostile.act = lambda t: acts.pop(0)(t)
        result = driver.connect(self.client, self.service.vip, 80, "send:100,shutdown,recv-eof")
        self.assertEqual((result["end"], acts), ("eof", []), result)
        for _ in range(3):
            self.assertTrue(self.hostile.ended.acquire(timeout=host.PATIENCE))
        self.assertEqual(self.hostile.errors, [])
        host.wait_until("its tunnels to be gone", lambda: not self.tunnels())

    def tunnels(self):
        """East's to the hostile one."""
        return [tunnel for tunnel in self.east.agent.cli("tunnels")["tunnels"]
                if tunnel["peer_id"] == self.bad.id]

    def test_on_an_idle_tunnel(self):
        def idle():
            return any(tunnel["state"] == "idle" for tunnel in self.tunnels())

        def carry(tunnel):
            tunnel.carry()
            host.wait_until("the tunnel to be idle", idle)
        self.assert_ended(WHILE_IDLE, carry, "shutdown,recv-eof", "eof")


if __name__ == "__main__":
    case.main()
