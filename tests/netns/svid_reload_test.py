# SPDX-License-Identifier: Apache-2.0
"""SVIDs and trust bundles change under running agents."""
import base64
import json
import os
import shutil
import socket
import ssl
import time

from netns.reload_case import ReloadCase
from testing import case, driver, host, network, pki, wire
from testing.topology import TRUST_DOMAIN, TUNNEL_PORT, Endpoint


class DialedOnce:
    """A tunnel endpoint that accepts one handshake and keeps the certificate it was shown."""

    def __init__(self, cluster, pod):
        directory = cluster.agent.svid_dir(pod)
        self._context = wire.server_context(f"{directory}/svid.pem", f"{directory}/key.pem",
                                            f"{cluster.dir}/bundle.pem")
        self._listener = host.in_netns(network.path(cluster.netns), lambda: socket.create_server(
            (cluster.ip, TUNNEL_PORT)))
        self._listener.settimeout(host.PATIENCE)

    def serial(self):
        """Of the SVID of whoever dials next."""
        sock, _ = self._listener.accept()
        sock.settimeout(host.PATIENCE)
        with self._context.wrap_socket(sock, server_side=True) as tls:
            return int(tls.getpeercert()["serialNumber"], 16)

    def close(self):
        """Ends listening."""
        self._listener.close()


class SvidReloadTest(ReloadCase):
    """SVIDs are replaced while agents run."""

    topology_name = "reloadsvid"

    @classmethod
    def build(cls):
        super().build()
        cls.north = cls.topo.cluster("north")  # the test is its agent
        cls.remote = cls.north.pod("remote")
        cls.far = cls.topo.service("shop/far", 80, [Endpoint(cls.remote, cls.PORT)])
        cls.topo.allow(cls.client, "shop/far")

    start_agents = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for cluster in (cls.east, cls.west):
            cluster.agent.start()
        for cluster in (cls.east, cls.west):
            cluster.agent.wait_ready()

    def identity(self, pod):
        """What the agent says about a workload's SVID."""
        return next(entry for entry in pod.cluster.agent.cli("status")["identities"]
                    if entry["id"] == pod.id)

    def serial(self, pod):
        """Of the SVID in use, as the agent says."""
        return int(self.identity(pod)["serial"].replace(":", ""), 16)

    def wait_renewed(self, pod, before):
        """Waits until an agent that used the SVID `before` uses another one; its serial."""
        def used():
            entry = self.identity(pod)
            return entry["serial"] and not entry["error"] and self.serial(pod) != before
        host.wait_until("the new SVID to be used", used)
        self.identity(pod)  # asks every thread, after each was sent the new SVID
        return self.serial(pod)

    def renew(self, pod):
        """A new SVID in the same place: its serial."""
        before = self.serial(pod)
        self.topo.issue(pod.id, pod.cluster.agent.svid_dir(pod))
        return self.wait_renewed(pod, before)

    def shown_to(self, pod):
        """The serial that a client of `pod`'s service is shown: int of a new handshake."""
        sni = wire.server_name("shop/server", 80, pod.id, "west")
        directory = self.east.agent.svid_dir(self.client)
        context = wire.client_context(f"{directory}/svid.pem", f"{directory}/key.pem")
        sock = host.in_netns(network.path(self.east.netns), lambda: socket.create_connection(
            (self.west.ip, TUNNEL_PORT), timeout=host.PATIENCE))
        with context.wrap_socket(sock, server_hostname=sni) as tls:
            pem = ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True))
        shown = host.sh("openssl", "x509", "-noout", "-serial", input=pem)
        return int(shown.strip().removeprefix("serial="), 16)

    def test_renewed_client(self):
        server, rogue = self.echo(), DialedOnce(self.north, self.remote)
        running = self.hold()
        idle = self.make_idle_tunnel(self.client)
        after = self.renew(self.client)
        host.wait_until("tunnels of the old SVID to be closed",
                        lambda: not self.idle_tunnels(self.client) & idle)
        driver.Peer(self.client, "connect", self.far.vip, 80, "send:1,recv-eof")
        self.assertEqual(rogue.serial(), after)
        rogue.close()
        self.go_on(running)
        self.assertEqual(self.ask(), "x")
        server.kill()

    def test_a_busy_tunnel_of_the_old_svid_is_not_used_again(self):
        server, running = self.echo(), self.hold()
        old, = {entry["tunnel"] for entry in self.east.agent.connections(self.client)}
        self.renew(self.client)
        self.go_on(running)  # and ends
        self.settle()
        self.assertNotIn(old, self.idle_tunnels(self.client))
        self.assertNotIn(old, self.make_idle_tunnel(self.client))
        server.kill()

    def test_renewed_server(self):
        server, running = self.echo(), self.hold()
        after = self.renew(self.server)
        self.assertEqual(self.shown_to(self.server), after)
        self.assertEqual(self.ask(), "x")
        self.go_on(running)
        server.kill()

    def test_renewal_of_another_keeps_tunnels(self):
        server = self.echo()
        idle = self.make_idle_tunnel(self.client)
        self.renew(self.other)
        time.sleep(0.5)
        self.assertEqual(self.idle_tunnels(self.client), idle)
        server.kill()

    @staticmethod
    def _trust(cluster, *roots):
        path = f"{cluster.dir}/bundle.pem"
        with open(path + ".new", "wb") as out:
            for root in roots:
                with open(root, "rb") as source:
                    out.write(source.read())
        os.rename(path + ".new", path)

    def _withdraw_root(self, cluster, pod):
        """`pod`'s SVID is of a second root, which `cluster` trusts no longer: running connections
        go on, and nothing else of it."""
        first = f"{self.topo.dir}/ca/root.pem"
        second = pki.Root(f"{self.topo.dir}/second-{cluster.name}")
        for each in self.clusters:
            self.after_reload([each], lambda c=each: self._trust(c, first, second.certificate))
        before = self.serial(pod)
        for source, name in zip(second.issue("svid", pod.id), ("svid.pem", "key.pem")):
            shutil.copy(source, f"{pod.cluster.agent.svid_dir(pod)}/{name}")
        self.wait_renewed(pod, before)
        server, running = self.echo(), self.hold()
        idle = self.make_idle_tunnel(self.client)
        self._trust(cluster, first)
        host.wait_until("idle tunnels to be closed",
                        lambda: not self.idle_tunnels(self.client) & idle)
        self.assertEqual(self.ask(), "reset")
        self.go_on(running)
        self.settle()
        self.assertEqual(self.ask(), "reset", "the tunnel of a running connection was used again")
        self.renew(pod)
        self.assertEqual(self.ask(), "x")
        server.kill()

    def test_root_of_the_server_withdrawn_at_the_dialer(self):
        self._withdraw_root(self.east, self.server)

    def test_root_of_the_client_withdrawn_at_the_acceptor(self):
        self._withdraw_root(self.west, self.client)

    def _revoke(self, cluster, **revoked):
        """`cluster` gets a bundle document with these revocations; what it had before."""
        path = f"{cluster.dir}/bundle.pem"
        with open(path, encoding="ascii") as source:
            before = source.read()
        document = {"keys": [
            {"use": "x509-svid", "x5c": [base64.b64encode(ssl.PEM_cert_to_DER_cert(before)).decode()]}],
            "tombolo": {"trust_domain": TRUST_DOMAIN, "authorities": None, "revoked": revoked}}
        self._write(path, json.dumps(document))
        return before

    @staticmethod
    def _write(path, text):
        with open(path + ".new", "w", encoding="ascii") as out:
            out.write(text)
        os.rename(path + ".new", path)

    def _is_revoked(self, cluster, **revoked):
        """Once `cluster` has the revocation, whatever `client` has is gone, and others' goes on."""
        server = self.echo()
        running, others = (driver.Peer(pod, "hold", self.service.vip, 80, 1)
                           for pod in (self.client, self.other))
        for peer in (running, others):
            self.assertEqual(peer.next(), {"open": 1, "failures": []})
        before = self._revoke(cluster, **revoked)
        host.wait_until("the revoked connection to be reset", lambda: len(
            self.east.agent.connections(self.client)) == 0, 2)
        running.tell()
        self.assertEqual(running.next()["alive"], 0)
        self.assertEqual(self.idle_tunnels(self.client), set())
        self.assertIn(self.ask(), ("reset", "ECONNREFUSED"))
        self.assertEqual(self.ask(self.other), "x")
        others.tell()
        self.assertEqual(others.next(), {"alive": 1, "failures": []})
        self._write(f"{cluster.dir}/bundle.pem", before)
        host.wait_until("the revocation to be taken back", lambda: self.ask() == "x")
        server.kill()

    def test_client_revoked_at_the_acceptor(self):
        self._is_revoked(self.west, ids=[self.client.id])

    def test_client_revoked_at_the_dialer(self):
        self._is_revoked(self.east, ids=[self.client.id])

    def test_certificate_of_the_client_revoked(self):
        self._is_revoked(self.west, serials=[f"{self.serial(self.client):032x}"])

    def _spoil(self, pod, content):
        file = f"{pod.cluster.agent.svid_dir(pod)}/svid.pem"
        serial = self.serial(pod)
        with open(file, "wb") as out:
            out.write(content)
        host.wait_until("the error to be shown", lambda: file in self.identity(pod)["error"])
        self.assertEqual(self.serial(pod), serial)
        self.assertEqual(self.ask(), "x")

    def test_garbage_keeps_the_old_svid(self):
        server = self.echo()
        running = self.hold()
        with open(f"{self.east.agent.svid_dir(self.other)}/svid.pem", "rb") as source:
            of_another = source.read()
        for name, content in (("garbage", b"\0\1garbage\n"), ("empty", b""),
                              ("another's", of_another)):
            for pod in (self.client, self.server):
                with self.subTest(f"{name} for {pod.name}"):
                    self._spoil(pod, content)
                self.renew(pod)
        self.go_on(running)
        self.assertEqual(self.ask(), "x")
        server.kill()


if __name__ == "__main__":
    case.main()
