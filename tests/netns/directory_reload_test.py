# SPDX-License-Identifier: Apache-2.0
"""directory.yaml changes under running agents: what moves, what stays, what is said about it."""
import os
import signal
import time

from netns.reload_case import ReloadCase
from testing import case, driver, host
from testing.capture import Capture
from testing.topology import Endpoint
from testing.yaml_text import to_yaml

# The watcher looks at every file each five seconds; inotify tells it earlier.
PERIODIC_LOOK = 5.0


class DrainingReloadTest(ReloadCase):
    """The server's cluster drains."""

    topology_name = "reloaddrain"

    def draining(self):
        """The directory in which west takes nothing new while others can."""
        content = self.topo.directory()
        for cluster in content["clusters"]:
            cluster["draining"] = cluster["name"] == self.west.name
        return content

    def test_idle_tunnels_end_and_what_runs_goes_on(self):
        server = self.echo()
        self.make_idle_tunnel(self.client)
        held = self.hold()
        self.make_idle_tunnel(self.client)
        self.replace(self.draining(), [self.east])
        self.assertEqual(self.idle_tunnels(self.client), set())
        self.go_on(held)
        self.assertEqual(self.ask(), "x")  # nobody else can
        server.kill()


class PolicyReloadTest(ReloadCase):
    """A rule is withdrawn."""

    topology_name = "reloadrule"

    def without_rule(self):
        """The directory in which `client` may do nothing."""
        content = self.topo.directory()
        content["allow"] = [rule for rule in content["allow"] if rule["from"] != self.client.id]
        return content

    def _withdraw(self, clusters):
        server = self.serve("recv-eof")
        self.assert_done(driver.connect(self.client, self.service.vip, 80, "shutdown,recv-eof"))
        server.next()
        self.settle()
        running = self.peer("connect", "send:10,recv-eof")
        idle = self.peer("connect", "wait,shutdown,recv-eof")
        self.wait_open(2)
        idle.tell()
        self.assert_done(idle.next())
        server.next()
        self.wait_open(1)
        self.assertTrue(self.idle_tunnels(self.client))
        begun = time.monotonic()
        for cluster in clusters:
            self.topo.write_directory(self.without_rule(), cluster=cluster)
        client, server_side = running.next(), server.next()
        self.assertLess(time.monotonic() - begun, PERIODIC_LOOK)
        self.assertEqual((client["end"], server_side["end"]), ("reset", "reset"))
        self.assert_intact(server_side, received=10)
        server.kill()

    def assert_denied(self):
        """New connections are refused in connect(). An agent resets what runs before it tells the
        kernel, and the other one may have been first."""
        host.wait_until("new connections to be denied", lambda: self.ask() == "EACCES")

    def test_withdrawn_rule_resets_what_runs(self):
        self._withdraw(self.topo.clusters)
        self.assert_denied()

    def test_withdrawn_rule_closes_idle_tunnels(self):
        self._withdraw([self.east])
        self.assert_denied()
        host.wait_until("idle tunnels to be closed", lambda: not self.idle_tunnels(self.client))

    def test_rule_withdrawn_at_the_acceptor_only(self):
        self._withdraw([self.west])
        self.assertEqual(self.ask(), "reset")

    def test_withdrawn_rule_leaves_others_alone(self):
        server = self.echo()
        idle = self.make_idle_tunnel(self.other)
        self.replace(self.without_rule())
        self.assertEqual(self.ask(), "EACCES")
        self.assertEqual(self.make_idle_tunnel(self.other), idle)
        self.replace(self.topo.directory())
        self.assertEqual(self.ask(), "x")
        server.kill()


class ServiceReloadTest(ReloadCase):
    """Services, endpoints and workloads come and go."""

    topology_name = "reloaddir"

    def test_a_new_service_works_without_a_restart(self):
        server, vip = self.echo(), "10.96.0.77"
        self.assertNotIn(self.ask(vip=vip), ("x", "reset", "eof", "timeout"))
        self.replace(self.with_service("shop/new", vip, self.server))
        self.assertEqual(self.ask(vip=vip), "x")
        server.kill()

    def test_changed_endpoints_move_new_connections_only(self):
        first = self.echo()
        second = driver.serve(self.second, self.PORT, "read-text,text:second")
        running = self.hold()
        self.replace(self.with_endpoints(Endpoint(self.server, self.PORT),
                                         Endpoint(self.second, self.PORT)))
        self.assertIn("second", {self.ask() for _ in range(20)})
        self.replace(self.with_endpoints(Endpoint(self.server, self.PORT, ready=False),
                                         Endpoint(self.second, self.PORT)))
        self.assertEqual({self.ask() for _ in range(5)}, {"second"})
        self.go_on(running)
        for peer in (first, second):
            peer.kill()

    def _runs_until(self, content):
        """A running connection is reset once the directory is `content`."""
        server, running = self.serve("recv-eof"), self.peer("connect", "send:10,recv-eof")
        self.wait_open(1)
        self.replace(content)
        self.assertEqual((running.next()["end"], server.next()["end"]), ("reset", "reset"))
        server.kill()

    def test_a_server_that_is_no_longer_listed_goes_on_with_what_runs(self):
        """That is how a service moves: nothing new goes to it, and idle tunnels are closed."""
        first = self.echo()
        second = driver.serve(self.second, self.PORT, "read-text,text:second")
        running = self.hold()
        idle = self.make_idle_tunnel(self.client)
        self.replace(self.with_endpoints(Endpoint(self.second, self.PORT)))
        self.assertEqual({self.ask() for _ in range(5)}, {"second"})
        host.wait_until("the idle tunnel to be closed",
                        lambda: not idle & self.idle_tunnels(self.client))
        self.go_on(running)
        for peer in (first, second):
            peer.kill()

    def test_no_ready_endpoint_refuses(self):
        self.replace(self.with_endpoints(Endpoint(self.server, self.PORT, ready=False)))
        self.assertEqual(self.ask(), "ECONNREFUSED")

    def test_removed_service(self):
        self._runs_until(self.topo.directory() | {"services": [], "allow": []})
        for vip in (self.service.vip, self.service.vip6):
            self.assertEqual(self.ask(vip=vip), "ECONNREFUSED")

    def test_removed_workload_is_refused_and_not_let_through(self):
        content = self.topo.directory()
        content["workloads"] = [entry for entry in content["workloads"]
                                if entry["name"] != self.client.workload]
        server = self.echo()
        self.replace(content)
        self.assertEqual((self.ask(), self.ask(self.other)), ("EACCES", "x"))
        self.replace(self.topo.directory())
        self.assertEqual(self.ask(), "x")
        server.kill()

    def test_emptied_directory_refuses_all(self):
        """A truncated list must not turn the mesh off: nothing goes out in the clear."""
        whole = self.topo.directory()
        nothing = {"services": [], "workloads": [], "allow": []}
        server = self.echo()
        for emptied in (nothing, {"services": [], "allow": []}, {"allow": []}):
            with self.subTest(sorted(emptied)), Capture(self.east.netns) as capture:
                self.replace(whole | emptied)
                for pod in (self.client, self.other):
                    self.assertIn(self.ask(pod), ("EACCES", "ECONNREFUSED"))
                capture.stop()
                self.assertEqual(capture.sent_to([self.service.vip, self.service.vip6]), [])
        self.replace(whole)
        self.assertEqual(self.ask(), "x")
        server.kill()

    def wait_error(self, *words):
        """Waits until east says what is wrong with its directory."""
        host.wait_until(f"an error about {' '.join(words)}", lambda: all(
            word in self.snapshot(self.east)["error"] for word in words))

    def test_broken_directory_keeps_the_old_one(self):
        good = to_yaml(self.topo.directory())
        last, file = good.count("\n") + 1, self.east.directory_file
        server, running = self.echo(), self.hold()
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
                self.wait_error(place, words)
                self.assertEqual(self.snapshot(self.east)["version"], version)
                self.assertEqual(self.ask(), "x")
        os.unlink(file)
        self.wait_error("No such file")
        self.assertEqual(self.ask(), "x")
        self.replace(good, [self.east])
        self.assertEqual(self.snapshot(self.east)["error"], "")
        self.go_on(running)
        server.kill()

    def test_unrelated_edit_keeps_idle_tunnels_and_what_runs(self):
        server, running = self.echo(), self.hold()
        idle = {pod.name: self.make_idle_tunnel(pod) for pod in (self.client, self.other)}
        self.replace(self.with_service("shop/unrelated", "10.96.0.99", self.second))
        time.sleep(0.5)
        self.assertEqual({pod.name: self.idle_tunnels(pod) for pod in (self.client, self.other)},
                         idle)
        self.assertEqual(self.make_idle_tunnel(self.client), idle["client"])
        self.go_on(running)
        server.kill()

    def test_sighup_reads_again(self):
        server, running = self.echo(), self.hold()
        self.after_reload([self.east],
                          lambda: self.east.agent.process.send_signal(signal.SIGHUP))
        self.assertEqual(self.ask(), "x")
        self.go_on(running)
        server.kill()


if __name__ == "__main__":
    case.main()
