# SPDX-License-Identifier: Apache-2.0
"""Peers whose certificates are not good enough, in either role."""
import shutil
import socket
import ssl
import threading

from testing import case, driver, host, network, pki, wire
from testing.topology import TRUST_DOMAIN, TUNNEL_PORT

OTHER_DOMAIN = "spiffe://elsewhere.example/cluster/east/ns/shop/sa/client"


def bad_certificates(root, stranger, good_id):
    """name -> ((certificate, key), the metric's reason, words of the log line)."""
    other = good_id.rsplit("/", 1)[0] + "/other"
    return {
        "wrong CA": (stranger.issue("stranger", good_id), "untrusted", "local issuer"),
        "expired": (root.issue("expired", good_id, days=(-3, -1)), "expired", "has expired"),
        "not yet valid": (root.issue("future", good_id, days=(1, 3)), "expired", "not yet valid"),
        "other trust domain": (root.issue("domain", OTHER_DOMAIN), "wrong_trust_domain",
                               "elsewhere.example"),
        "two URI SANs": (root.issue("twosans", good_id, other), "bad_svid", "2 URI names"),
        "CA as a leaf": (root.issue("caleaf", good_id, ca=True), "bad_svid", "certificate"),
    }


class CertificateCase(case.PairCase):
    """Two more authorities: a root that both clusters trust, and a stranger."""

    start_agents = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = pki.second_root(cls.topo)
        cls.stranger = pki.Root(f"{cls.topo.dir}/stranger")


class BadClientTest(CertificateCase):
    """Dialers that the acceptor must turn away."""

    topology_name = "badclient"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.topo.start_agents()
        cls.sni = wire.server_name("shop/server", 80, cls.server.id, "west")

    def dial(self, certificate, key, sni=None):
        """The rogue's tunnel after its half of the handshake."""
        return wire.Tunnel(self.east.netns, (self.west.ip, TUNNEL_PORT), sni or self.sni,
                           certificate, key)

    def assert_refused(self, certificate, key, reason, words):
        """No HELLO comes, and the acceptor says why in log and metric."""
        agent = self.west.agent
        before, start = agent.metrics(), len(agent.log())
        try:
            tunnel = self.dial(certificate, key)
            tunnel.message(wire.HELLO, wire.hello(), connection=0)
            tunnel.message(wire.OPEN, wire.open_request("shop/server", 80))
            tunnel.send(wire.APPLICATION, b"never to be delivered")
            self.assertIsNone(tunnel.receive_message())
        except (ConnectionError, ssl.SSLError):
            pass
        self.assert_counted(agent, before, "handshake", reason)
        self.assert_logged(agent, start, "tunnel refused", reason, words)

    def test_each_bad_certificate(self):
        server = self.serve("read-text")
        for name, (files, reason, words) in bad_certificates(self.root, self.stranger,
                                                             self.client.id).items():
            with self.subTest(name):
                self.assert_refused(*files, reason, words)
        self.assertEqual(server.reports(), [])
        server.kill()

    def test_no_certificate(self):
        self.assert_refused(None, None, "no_certificate", "certificate")

    def test_unknown_name(self):
        files = self.root.issue("fine2", self.client.id)
        before = self.west.agent.metrics()
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.dial(*files, sni="0" * 32 + ".west.tombolo.internal")
        self.assert_counted(self.west.agent, before, "unknown_name")

    def test_a_good_one_of_the_second_root_is_served(self):
        server = self.serve("read-text")
        tunnel = self.dial(*self.root.issue("fine", self.client.id))
        tunnel.message(wire.HELLO, wire.hello(), connection=0)
        tunnel.message(wire.OPEN, wire.open_request("shop/server", 80))
        self.assertEqual(tunnel.receive_message()[0], wire.HELLO)
        kind, payload = tunnel.receive_message()
        self.assertEqual((kind, payload[:2]), (wire.RESULT, wire.field(1, 1)))
        tunnel.send(wire.APPLICATION, b"by hand")
        self.assertEqual(server.next()["text"], "by hand")
        tunnel.close()
        server.kill()

    def test_a_valid_identity_that_policy_does_not_know(self):
        files = self.root.issue("unknown", f"spiffe://{TRUST_DOMAIN}/cluster/east/ns/x/sa/y")
        tunnel = self.dial(*files)
        tunnel.message(wire.HELLO, wire.hello(), connection=0)
        tunnel.message(wire.OPEN, wire.open_request("shop/server", 80))
        self.assertEqual(tunnel.receive_message()[0], wire.HELLO)
        kind, payload = tunnel.receive_message()
        self.assertEqual((kind, payload[:2]), (wire.RESULT, wire.field(1, 2)))  # CODE_DENIED
        tunnel.close()


class RogueServer(threading.Thread):
    """A tunnel endpoint with a certificate of the test's choice; keeps what it could read."""

    def __init__(self, netns, address, files, bundle):
        super().__init__(daemon=True)
        self.context = wire.server_context(*files, bundle)
        self.listener = host.in_netns(network.path(netns), lambda: socket.create_server(address))
        self.listener.settimeout(0.2)
        self.read, self.attempts, self.running = [], 0, True
        self.start()

    def run(self):
        while self.running:
            try:
                sock, _ = self.listener.accept()
            except TimeoutError:
                continue
            self.attempts += 1
            sock.settimeout(host.PATIENCE)
            try:
                with self.context.wrap_socket(sock, server_side=True) as tls:
                    while data := tls.recv(65536):
                        self.read.append(data)
            except OSError:  # ssl.SSLError too: an alert is what we hope for
                sock.close()
        self.listener.close()

    def stop(self):
        """Ends the thread."""
        self.running = False
        self.join()


class BadServerTest(CertificateCase):
    """Tunnel endpoints that the dialer must not talk to."""

    topology_name = "badserver"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.east.agent.start()  # and none in west: the rogue takes its place
        cls.east.agent.wait_ready()

    def assert_not_talked_to(self, files, reason, words):
        """The application is reset, the rogue reads nothing, east says why."""
        agent = self.east.agent
        before, start = agent.metrics(), len(agent.log())
        rogue = RogueServer(self.west.netns, (self.west.ip, TUNNEL_PORT), files,
                            f"{self.west.dir}/bundle.pem")
        try:
            result = driver.connect(self.client, self.service.vip, 80,
                                    "text:secret,shutdown,recv-eof")
        finally:
            rogue.stop()
        self.assertEqual(result["end"], "reset", result)
        self.assertEqual(rogue.read, [])
        self.assertEqual(rogue.attempts, 1, "a refusal by certificate is never retried")
        self.assert_counted(agent, before, "handshake", reason)
        self.assert_logged(agent, start, "connection refused", "reason=certificate", words)

    def test_each_bad_certificate(self):
        for name, (files, reason, words) in bad_certificates(self.root, self.stranger,
                                                             self.server.id).items():
            with self.subTest(name):
                self.assert_not_talked_to(files, reason, words)

    def test_a_valid_svid_that_the_service_does_not_list(self):
        other = self.server.id.rsplit("/", 1)[0] + "/other"
        self.assert_not_talked_to(self.root.issue("other", other), "unexpected_identity", other)


class BadOwnSvidTest(CertificateCase):
    """The agent's own SVID of a workload is no good: that workload is refused, others are not."""

    topology_name = "badown"

    @classmethod
    def build(cls):
        super().build()
        cls.fine = cls.east.pod("fine")
        cls.topo.allow(cls.fine, "shop/server")

    def test_expired(self):
        files = self.root.issue("expired", self.client.id, days=(-3, -1))
        for source, name in zip(files, ("svid.pem", "key.pem")):
            shutil.copy(source, f"{self.east.agent.svid_dir(self.client)}/{name}")
        self.west.agent.start()
        self.east.agent.start()
        self.west.agent.wait_ready()
        host.wait_until("east to answer", self.east.agent.status_or_none)
        server = self.serve("read-text,send:1")

        def fine_is_served():
            result = driver.connect(self.fine, self.service.vip, 80, "text:x,recv-eof")
            return result.get("received") == 1
        host.wait_until("the other workload to be served", fine_is_served)
        result = driver.connect(self.client, self.service.vip, 80, "text:x,recv-eof")
        self.assertNotEqual(result.get("at"), "done", result)
        identity = next(entry for entry in self.east.agent.cli("status")["identities"]
                        if entry["id"] == self.client.id)
        self.assertIn("expired", identity["error"])
        server.kill()


if __name__ == "__main__":
    case.main()
