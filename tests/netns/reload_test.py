# SPDX-License-Identifier: Apache-2.0
"""Files that change under running agents: what moves, what stays, and what is said about it."""
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time

from testing import case, driver, host, network, pki, wire
from testing.topology import TUNNEL_PORT, Endpoint, program
from testing.yaml_text import to_yaml

PORT = 8080
NOTICED = 3.0  # seconds from a file's change to its effect: the watcher waits for quiet first


class ReloadCase(case.TopologyCase):
    """Two clients in east, two servers in west, and a directory of its own for each cluster."""

    @classmethod
    def build(cls):
        cls.east, cls.west = cls.topo.cluster("east"), cls.topo.cluster("west")
        for cluster in cls.topo.clusters:
            cluster.own_directory = True
            cluster.agent.config = {"threads": 1}  # one pool of tunnels
        cls.client, cls.other = cls.east.pod("client"), cls.east.pod("other")
        cls.server, cls.second = cls.west.pod("server"), cls.west.pod("second")
        cls.service = cls.topo.service("shop/server", 80, [Endpoint(cls.server, PORT)])
        cls.topo.allow(cls.client, "shop/server")
        cls.topo.allow(cls.other, "shop/server")

    def setUp(self):
        super().setUp()
        self.replace(self.topo.directory())
        self.settle()

    def replace(self, content, clusters=None):
        """Writes a good directory and waits until the agents have taken it over."""
        for cluster in clusters or self.clusters:
            before = self.snapshot(cluster)["version"]
            self.topo.write_directory(content, cluster=cluster)
            host.wait_until("the directory to be taken over",
                            lambda c=cluster, v=before: self.snapshot(c)["version"] > v, NOTICED)

    def settle(self):
        """Waits until nothing of an earlier test is left."""
        for cluster in self.clusters:
            host.wait_until("old connections to end",
                            lambda c=cluster: not c.agent.cli("connections")["connections"], 10)

    @property
    def clusters(self):
        """Those with an agent."""
        return [cluster for cluster in self.topo.clusters if cluster.agent.process]

    @staticmethod
    def snapshot(cluster):
        """What the agent says about its directory."""
        return cluster.agent.cli("status")["snapshot"]

    def identity(self, pod):
        """What the agent says about a workload's SVID."""
        return next(entry for entry in pod.cluster.agent.cli("status")["identities"]
                    if entry["id"] == pod.id)

    def wait_open(self, count):
        """Waits until so many connections are relayed, as both agents see it."""
        def relayed(cluster):
            return [entry for entry in cluster.agent.cli("connections")["connections"]
                    if entry["state"] == "open"]
        for cluster in self.clusters:
            host.wait_until("connections to be relayed",
                            lambda c=cluster: len(relayed(c)) == count)

    def idle_tunnels(self, pod):
        """Ids of the tunnels that wait for a client's next connection."""
        return {entry["tunnel"] for entry in self.east.agent.cli("tunnels")["tunnels"]
                if entry["state"] == "idle" and entry["local_id"] == pod.id}

    def make_idle_tunnel(self, pod):
        """One connection of a client, to its end: what it leaves in the pool."""
        self.assertEqual(self.ask(pod), "x")
        host.wait_until("an idle tunnel", lambda: self.idle_tunnels(pod))
        return self.idle_tunnels(pod)

    def ask(self, pod=None):
        """What a new connection gets to read; an echo server answers x."""
        result = driver.connect(pod or self.client, self.service.vip, 80, "text:x,read-text")
        return result.get("text") or result.get("end") or result["connect"]

    def hold(self):
        """A running connection to an echo server; go_on() shows that it still runs."""
        peer = driver.Peer(self.client, "hold", self.service.vip, 80, 1)
        self.assertEqual(peer.next(), {"open": 1, "failures": []})
        return peer

    def go_on(self, peer):
        """The held connection carries another byte each way."""
        peer.tell()
        self.assertEqual(peer.next(), {"alive": 1, "failures": []})


class DirectoryReloadTest(ReloadCase):
    """directory.yaml changes."""

    topology_name = "reloaddir"

    def without_rule(self):
        """The directory in which `client` may do nothing."""
        content = self.topo.directory()
        content["allow"] = [rule for rule in content["allow"] if rule["from"] != self.client.id]
        return content

    def _withdraw(self, clusters):
        server = driver.serve(self.server, PORT, "recv-eof")
        self.assert_done(driver.connect(self.client, self.service.vip, 80, "shutdown,recv-eof"))
        server.next()
        running = driver.Peer(self.client, "connect", self.service.vip, 80, "send:10,recv-eof")
        idle = driver.Peer(self.client, "connect", self.service.vip, 80,
                           "sleep:0.5,shutdown,recv-eof")
        self.wait_open(2)
        self.assert_done(idle.next())
        server.next()
        host.wait_until("an idle tunnel", lambda: self.idle_tunnels(self.client))
        begun = time.monotonic()
        for cluster in clusters:
            self.topo.write_directory(self.without_rule(), cluster=cluster)
        client, server_side = running.next(timeout=10), server.next(timeout=10)
        self.assertLess(time.monotonic() - begun, NOTICED)
        self.assertEqual((client["end"], server_side["end"]), ("reset", "reset"))
        self.assert_intact(server_side, received=10)
        server.kill()

    def test_withdrawn_rule_resets_what_runs(self):
        self._withdraw(self.topo.clusters)
        # West may have been the one that reset it, and east a moment later.
        host.wait_until("new connections to be denied", lambda: self.ask() == "EACCES", NOTICED)

    def test_withdrawn_rule_closes_idle_tunnels(self):
        self._withdraw([self.east])
        self.assertEqual(self.ask(), "EACCES")
        host.wait_until("idle tunnels to be closed",
                        lambda: not self.idle_tunnels(self.client), NOTICED)

    def test_rule_withdrawn_at_the_acceptor_only(self):
        self._withdraw([self.west])
        self.assertEqual(self.ask(), "reset")

    def test_withdrawn_rule_leaves_others_alone(self):
        server = driver.echo(self.server, PORT)
        idle = self.make_idle_tunnel(self.other)
        self.replace(self.without_rule())
        self.assertEqual(self.ask(), "EACCES")
        self.assertEqual(self.make_idle_tunnel(self.other), idle)
        self.replace(self.topo.directory())
        self.assertEqual(self.ask(), "x")
        server.kill()

    def with_endpoints(self, *endpoints):
        """The directory with other endpoints behind the service."""
        content = self.topo.directory()
        content["services"][0]["ports"][0]["endpoints"] = [each.entry() for each in endpoints]
        return content

    def test_changed_endpoints_move_new_connections_only(self):
        first = driver.echo(self.server, PORT)
        second = driver.serve(self.second, PORT, "read-text,text:second")
        running = self.hold()
        self.replace(self.with_endpoints(Endpoint(self.server, PORT), Endpoint(self.second, PORT)))
        self.assertIn("second", {self.ask() for _ in range(20)})
        self.replace(self.with_endpoints(Endpoint(self.server, PORT, ready=False),
                                         Endpoint(self.second, PORT)))
        self.assertEqual({self.ask() for _ in range(5)}, {"second"})
        self.go_on(running)
        for peer in (first, second):
            peer.kill()

    def test_a_server_that_is_no_longer_listed_is_left(self):
        server = driver.serve(self.server, PORT, "recv-eof")
        second = driver.serve(self.second, PORT, "read-text,text:second")
        running = driver.Peer(self.client, "connect", self.service.vip, 80, "send:10,recv-eof")
        self.wait_open(1)
        self.replace(self.with_endpoints(Endpoint(self.second, PORT)))
        self.assertEqual(running.next(timeout=10)["end"], "reset")
        self.assertEqual(server.next(timeout=10)["end"], "reset")
        self.assertEqual(self.ask(), "second")
        for peer in (server, second):
            peer.kill()

    def test_no_ready_endpoint_refuses(self):
        self.replace(self.with_endpoints(Endpoint(self.server, PORT, ready=False)))
        self.assertEqual(self.ask(), "ECONNREFUSED")

    def test_removed_service(self):
        server = driver.serve(self.server, PORT, "recv-eof")
        running = driver.Peer(self.client, "connect", self.service.vip, 80, "send:10,recv-eof")
        self.wait_open(1)
        self.replace(self.topo.directory() | {"services": [], "allow": []})
        self.assertEqual(running.next(timeout=10)["end"], "reset")
        self.assertEqual(server.next(timeout=10)["end"], "reset")
        self.assertIn(self.ask(), ("ECONNREFUSED", "EACCES"))
        server.kill()

    def test_removed_workload_is_refused_and_not_let_through(self):
        content = self.topo.directory()
        content["workloads"] = [entry for entry in content["workloads"]
                                if entry["name"] != self.client.workload]
        server = driver.echo(self.server, PORT)
        self.replace(content)
        self.assertEqual((self.ask(), self.ask(self.other)), ("EACCES", "x"))
        self.replace(self.topo.directory())
        self.assertEqual(self.ask(), "x")
        server.kill()

    def test_broken_directory_keeps_the_old_one(self):
        good = to_yaml(self.topo.directory())
        last, file = good.count("\n") + 1, self.east.directory_file
        server = driver.echo(self.server, PORT)
        running = self.hold()
        version = self.snapshot(self.east)["version"]
        for broken, place, words in (
                (good + "bogus: 1\n", f"{file}:{last}", "bogus"),
                (good + "  - [\n", f"{file}:", ""),
                (good.replace("port: 80\n", "port: 80x\n"), f"{file}:", "80x"),
                (good.replace("to: shop/server", "to: shop/nothing"), f"{file}:", "shop/nothing"),
                (good.replace("- name: east-1", "- name: east-9"), file, "east-1")):
            with self.subTest(words or "syntax"):
                self.assertNotEqual(broken, good)
                self.topo.write_directory(broken, cluster=self.east)
                error = host.wait_until(
                    "the error to be shown",
                    lambda p=place, w=words: all(word in self.snapshot(self.east)["error"]
                                                 for word in (p, w))
                    and self.snapshot(self.east)["error"], NOTICED)
                self.assertIn(file, error)
                self.assertEqual(self.snapshot(self.east)["version"], version)
                self.assertEqual(self.ask(), "x")
        os.unlink(file)
        host.wait_until("the missing file to be reported",
                        lambda: "No such file" in self.snapshot(self.east)["error"], NOTICED)
        self.assertEqual(self.ask(), "x")
        self.replace(good, [self.east])
        self.assertEqual(self.snapshot(self.east)["error"], "")
        self.go_on(running)
        server.kill()

    def test_unrelated_edit_keeps_idle_tunnels(self):
        server = driver.echo(self.server, PORT)
        idle = {pod.name: self.make_idle_tunnel(pod) for pod in (self.client, self.other)}
        content = self.topo.directory()
        content["services"].append({"name": "shop/unrelated", "vips": ["10.96.0.99"], "ports": [
            {"port": 80, "endpoints": [Endpoint(self.second, PORT).entry()]}]})
        self.replace(content)
        time.sleep(0.5)
        self.assertEqual({pod.name: self.idle_tunnels(pod) for pod in (self.client, self.other)},
                         idle)
        self.assertEqual(self.make_idle_tunnel(self.client), idle["client"])
        server.kill()

    def test_sighup_reads_again(self):
        server = driver.echo(self.server, PORT)
        running = self.hold()
        version = self.snapshot(self.east)["version"]
        self.east.agent.process.send_signal(signal.SIGHUP)
        host.wait_until("SIGHUP to read the directory",
                        lambda: self.snapshot(self.east)["version"] > version, NOTICED)
        self.assertEqual(self.ask(), "x")
        self.go_on(running)
        server.kill()


class ConfigReloadTest(ReloadCase):
    """agent.yaml changes."""

    topology_name = "reloadcfg"

    def setUp(self):
        self.write({})
        super().setUp()
        host.wait_until("no error", lambda: not self.config_error(), NOTICED)
        self.echo = driver.echo(self.server, PORT)

    def tearDown(self):
        self.echo.kill()
        super().tearDown()

    def config_error(self):
        """What east says about its agent.yaml."""
        return self.east.agent.cli("status")["config_error"]

    def write(self, changes, extra=""):
        """East's agent.yaml with some keys changed, and text that no key of ours makes."""
        self.east.agent.config = {"threads": 1} | changes
        self.east.agent.write_config()
        if extra:
            with open(self.east.agent.config_path, "a", encoding="utf-8") as out:
                out.write(extra)

    def wait_error(self, *words):
        """Waits until config_error contains all words."""
        host.wait_until(f"config_error with {' '.join(words)}",
                        lambda: all(word in self.config_error() for word in words), NOTICED)

    def test_broken_file_keeps_the_old_values(self):
        running, file = self.hold(), self.east.agent.config_path
        for changes, extra, words in (({}, "nonsense: 1\n", [f"{file}:", "nonsense"]),
                                      ({}, "  - [\n", [f"{file}:"]),
                                      ({"deadlines": {"dial": "5"}}, "", [f"{file}:", "dial"]),
                                      ({"log": {"level": "loud"}}, "", [f"{file}:", "loud"])):
            with self.subTest(words[-1]):
                self.write(changes, extra)
                self.wait_error(*words)
                self.assertEqual(self.ask(), "x")
                self.assertTrue(self.east.agent.cli("status")["ready"])
        self.write({})
        host.wait_until("the error to be cleared", lambda: not self.config_error(), NOTICED)
        self.go_on(running)

    def test_restart_only_keys_are_named(self):
        self.write({"threads": 2, "capture": {"max_services": 99},
                    "tunnel": {"listen": f"{self.east.ip}:15999"}, "log": {"level": "error"}})
        self.wait_error("restart", "threads", "capture.max_services", "tunnel.listen")
        self.assertNotIn("log", self.config_error())
        self.assertEqual(self.east.agent.cli("status")["threads"], 1)
        self.assertEqual(self.ask(), "x")

    def _reload_is_logged(self):
        start = len(self.east.agent.log())
        self.replace(self.topo.directory(), [self.east])
        time.sleep(0.2)
        return "directory loaded" in self.east.agent.log()[start:]

    def test_log_level_changes_at_once(self):
        self.assertTrue(self._reload_is_logged())
        self.write({"log": {"level": "error"}})
        host.wait_until("info to be left out", lambda: not self._reload_is_logged(), 10)
        self.write({"log": {"level": "info"}})
        host.wait_until("info to be logged", self._reload_is_logged, 10)
        self.assertEqual(self.config_error(), "")

    def test_a_deadline_changes_at_once(self):
        self.east.agent.kill()  # whatever is pooled would spare it the dial
        self.write({"deadlines": {"dial": "30s", "connect": "30s"}})
        self.east.agent.start()
        self.east.agent.wait_ready()
        self.write({"deadlines": {"dial": "500ms", "connect": "500ms"}})
        time.sleep(NOTICED / 2)
        self.west.agent.process.send_signal(signal.SIGSTOP)
        try:
            begun = time.monotonic()
            self.assertEqual(self.ask(), "reset")
            self.assertLess(time.monotonic() - begun, 3)
        finally:
            self.west.agent.process.send_signal(signal.SIGCONT)


class DialedOnce:
    """A tunnel endpoint that accepts one handshake and keeps the certificate it was shown."""

    def __init__(self, cluster, pod):
        directory = cluster.agent.svid_dir(pod)
        self._context = wire.server_context(f"{directory}/svid.pem", f"{directory}/key.pem",
                                            f"{cluster.dir}/bundle.pem")
        self._listener = host.in_netns(network.path(cluster.netns), lambda: socket.create_server(
            (cluster.ip, TUNNEL_PORT)))
        self._listener.settimeout(10)

    def serial(self):
        """Of the SVID of whoever dials next."""
        sock, _ = self._listener.accept()
        sock.settimeout(5)
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
        cls.far = cls.topo.service("shop/far", 80, [Endpoint(cls.remote, PORT)])
        cls.topo.allow(cls.client, "shop/far")

    start_agents = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for cluster in (cls.east, cls.west):
            cluster.agent.start()
        for cluster in (cls.east, cls.west):
            cluster.agent.wait_ready()

    def serial(self, pod):
        """Of the SVID in use, as the agent says."""
        return int(self.identity(pod)["serial"].replace(":", ""), 16)

    def renew(self, pod):
        """A new SVID in the same place: (serial before, serial after)."""
        before = self.serial(pod)
        self.topo.issue(pod.id, pod.cluster.agent.svid_dir(pod))
        host.wait_until("the new SVID to be used",
                        lambda: self.serial(pod) != before and not self.identity(pod)["error"],
                        NOTICED)
        return before, self.serial(pod)

    def shown_to(self, pod):
        """The serial that a client of `pod`'s service is shown: int of a new handshake."""
        sni = wire.server_name("shop/server", 80, pod.id, "west")
        directory = self.east.agent.svid_dir(self.client)
        context = wire.client_context(f"{directory}/svid.pem", f"{directory}/key.pem")
        sock = host.in_netns(network.path(self.east.netns), lambda: socket.create_connection(
            (self.west.ip, TUNNEL_PORT), timeout=5))
        with context.wrap_socket(sock, server_hostname=sni) as tls:
            pem = ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True))
        shown = host.sh("openssl", "x509", "-noout", "-serial", input=pem)
        return int(shown.strip().removeprefix("serial="), 16)

    def test_renewed_client(self):
        server, rogue = driver.echo(self.server, PORT), DialedOnce(self.north, self.remote)
        running = self.hold()
        idle = self.make_idle_tunnel(self.client)
        before, after = self.renew(self.client)
        self.assertNotEqual(before, after)
        host.wait_until("tunnels of the old SVID to be closed",
                        lambda: not self.idle_tunnels(self.client) & idle, NOTICED)
        driver.Peer(self.client, "connect", self.far.vip, 80, "send:1,recv-eof")
        self.assertEqual(rogue.serial(), after)
        rogue.close()
        self.go_on(running)
        self.assertEqual(self.ask(), "x")
        server.kill()

    def test_a_busy_tunnel_of_the_old_svid_is_not_used_again(self):
        server = driver.echo(self.server, PORT)
        running = self.hold()
        old, = {entry["tunnel"] for entry in self.east.agent.cli("tunnels")["tunnels"]
                if entry["state"] == "busy"}
        self.renew(self.client)
        self.go_on(running)  # and ends
        self.settle()
        self.assertNotIn(old, self.idle_tunnels(self.client))
        self.assertNotIn(old, self.make_idle_tunnel(self.client))
        server.kill()

    def test_renewed_server(self):
        server = driver.echo(self.server, PORT)
        running = self.hold()
        before, after = self.renew(self.server)
        self.assertNotEqual(before, after)
        self.assertEqual(self.shown_to(self.server), after)
        self.assertEqual(self.ask(), "x")
        self.go_on(running)
        server.kill()

    def test_renewal_of_another_keeps_tunnels(self):
        server = driver.echo(self.server, PORT)
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
            self._trust(each, first, second.certificate)
        before = self.serial(pod)
        for source, name in zip(second.issue("svid", pod.id), ("svid.pem", "key.pem")):
            shutil.copy(source, f"{pod.cluster.agent.svid_dir(pod)}/{name}")
        host.wait_until("the second root's SVID to be used", lambda: self.serial(pod) != before)
        time.sleep(0.5)  # the other agent's bundle
        server, running = driver.echo(self.server, PORT), self.hold()
        idle = self.make_idle_tunnel(self.client)
        self._trust(cluster, first)
        host.wait_until("idle tunnels to be closed",
                        lambda: not self.idle_tunnels(self.client) & idle, NOTICED)
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

    def _spoil(self, pod, content):
        file = f"{pod.cluster.agent.svid_dir(pod)}/svid.pem"
        serial = self.serial(pod)
        with open(file, "wb") as out:
            out.write(content)
        host.wait_until("the error to be shown", lambda: self.identity(pod)["error"], NOTICED)
        self.assertIn(file, self.identity(pod)["error"])
        self.assertEqual(self.serial(pod), serial)
        self.assertEqual(self.ask(), "x")

    def test_garbage_keeps_the_old_svid(self):
        server = driver.echo(self.server, PORT)
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


class CheckTest(case.TopologyCase):
    """tombolo-agent --check."""

    topology_name = "reloadcheck"
    start_agents = False

    @classmethod
    def build(cls):
        cls.east = cls.topo.cluster("east")
        cls.client, cls.server = cls.east.pod("client"), cls.east.pod("server")
        cls.topo.service("shop/server", 80, [Endpoint(cls.server, PORT)])
        cls.topo.allow(cls.client, "shop/server")

    def setUp(self):
        super().setUp()
        self.east.agent.config = {}
        self.east.agent.write_config()
        self.topo.write_directory()
        for pod in (self.client, self.server):
            self.topo.issue(pod.id, self.east.agent.svid_dir(pod))

    def check(self, path=None):
        """The finished process."""
        return subprocess.run([program("tombolo-agent"), "--config",
                               path or self.east.agent.config_path, "--check"],
                              capture_output=True, text=True, timeout=20, check=False)

    def assert_bad(self, *words, path=None):
        """Exit code 1, and every word on standard error."""
        done = self.check(path)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_good(self):
        done = self.check()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for words in ("1 services", "2 workloads", "2 identities"):
            self.assertIn(words, done.stdout)

    def test_missing_file(self):
        self.assert_bad("/nowhere/agent.yaml", "No such file", path="/nowhere/agent.yaml")

    def test_bad_agent_files(self):
        for changes, words in (({"bogus": 1}, ["bogus"]),
                               ({"threads": -1}, ["threads", "-1"]),
                               ({"tunnel": {"listen": "nonsense"}}, ["tunnel.listen", "nonsense"]),
                               ({"deadlines": {"dial": "0s"}}, ["deadlines.dial", "0s"]),
                               ({"capture": {"protected_ranges": ["10.0.0.0/33"]}},
                                ["capture.protected_ranges[0]", "10.0.0.0/33"])):
            with self.subTest(words[0]):
                self.east.agent.config = changes
                self.east.agent.write_config()
                self.assert_bad(f"{self.east.agent.config_path}:", *words)

    def test_every_mistake_is_named(self):
        self.east.agent.config = {"bogus": 1, "threads": -1}
        self.east.agent.write_config()
        self.assert_bad("bogus", "threads")

    def test_other_node(self):
        self.east.agent.config = {"node": "east-9"}
        self.east.agent.write_config()
        self.assert_bad(self.east.directory_file, "east-9")

    def test_bad_directories(self):
        def changed(where, key, value):
            content = self.topo.directory()
            spot = content
            for step in where:
                spot = spot[step]
            spot[key] = value
            return content
        for content, words in (
                (changed([], "bogus", 1), ["bogus"]),
                (changed(["services", 0], "vips", ["10.96.0.300"]), ["vips", "10.96.0.300"]),
                (changed(["workloads", 0], "cluster", "south"), ["south"]),
                (changed(["workloads", 1], "name", self.client.workload), [self.client.workload]),
                (changed([], "allow", [{"from": self.client.id, "to": "shop/server",
                                        "ports": []}]), ["ports"]),
                (changed([], "allow", [{"from": "east/client", "to": "shop/server"}]),
                 ["east/client"])):
            with self.subTest(words[-1]):
                self.topo.write_directory(content)
                self.assert_bad(f"{self.east.directory_file}:", *words)

    def test_bad_svids(self):
        directory = self.east.agent.svid_dir(self.client)
        with open(f"{directory}/svid.pem", "w", encoding="ascii") as out:
            out.write("garbage")
        self.assert_bad(f"{directory}/svid.pem")
        self.topo.issue(self.server.id, directory)
        self.assert_bad(f"{directory}/svid.pem", self.client.id, self.server.id)
        os.unlink(f"{directory}/key.pem")
        self.assert_bad(f"{directory}/key.pem", "No such file")


if __name__ == "__main__":
    case.main()
