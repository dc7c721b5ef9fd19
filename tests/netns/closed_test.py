# SPDX-License-Identifier: Apache-2.0
"""Whatever fails, nothing goes out in the clear and nothing goes to the wrong process."""
import signal
import time

from testing import case, driver, host
from testing.capture import Capture
from testing.topology import TUNNEL_PORT, Endpoint

LISTENER = 15001
MARKER = "plaintext-marker-7f3a"


class ClosedCase(case.PairCase):
    """A client, a server and two more pods; captures of both nodes from before the agents start."""

    start_agents = False
    east_config = {}
    east_gets_ready = True

    @classmethod
    def build(cls):
        super().build()
        cls.other = cls.east.pod("other")
        cls.stranger = cls.east.pod("stranger", enrolled=False)
        cls.east.agent.config = cls.east_config

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.captures = [Capture(cluster.netns) for cluster in cls.topo.clusters]
        for capture in cls.captures:
            cls.addClassCleanup(capture.stop)

    def setUp(self):
        super().setUp()
        for cluster in self.topo.clusters:
            if cluster.agent.process is None or cluster.agent.process.poll() is not None:
                cluster.agent.start()
        self.west.agent.wait_ready()
        if self.east_gets_ready:
            self.east.agent.wait_ready()
        else:
            host.wait_until("refuse_unknown", lambda: self.east.agent.status_or_none().get(
                "datapath", {}).get("refuse_unknown"))

    @classmethod
    def tearDownClass(cls):
        """The last word: what crossed the nodes during all tests of the class."""
        vips = [vip for service in cls.topo.services for vip in (service.vip, service.vip6)]
        # A pod that is not enrolled is nobody's business.
        strangers = (cls.stranger.ip, cls.stranger.ip6)
        for capture in cls.captures:
            capture.stop()
            # The first packet of a connection that the hooks let through.
            assert not capture.sent_to(vips, strangers), capture.sent_to(vips, strangers)[:5]
            assert not capture.find(MARKER.encode()), capture.find(MARKER.encode())[:5]
            link = capture.only("link0")
            verdict = link.judge_tls(TUNNEL_PORT)
            assert not link.streams() or verdict.ok, verdict
            assert not link.other_ports(TUNNEL_PORT), link.other_ports(TUNNEL_PORT)[:5]

    def ask(self, pod=None, vip=None, cgroup=None):
        """The client sends the marker: how its connection went."""
        return driver.connect(pod or self.client, vip or self.service.vip, 80,
                              f"text:{MARKER},shutdown,recv-eof", cgroup=cgroup)

    def assert_served(self, **kwargs):
        """The marker reaches the server, through a tunnel."""
        server = self.serve("read-text,send:10")
        try:
            result = self.ask(**kwargs)
            self.assert_done(result, received=10)
            self.assertEqual(server.next()["text"], MARKER)
        finally:
            server.kill()


class DeadAgentTest(ClosedCase):
    """The programs outlive the agent."""

    topology_name = "deadagent"

    def test_killed_while_clients_connect_and_the_port_stolen(self):
        server = self.serve("recv-eof")
        clients = self.peer("connect", f"text:{MARKER},shutdown,recv-eof", 400)
        ends = [clients.next()]  # they are under way
        self.east.agent.kill()
        thieves = [driver.steal(pod, LISTENER) for pod in (self.client, self.other)]
        ends += [clients.next() for _ in range(399)]
        self.assertTrue([end for end in ends if end["connect"] == "ok"])
        for _ in range(30):
            ends.append(self.ask())
        for end in ends:
            self.assertIn(end.get("end") or end["connect"],
                          ("ECONNREFUSED", "reset", "eof"), end)
        self.assertEqual({self.ask()["connect"] for _ in range(3)}, {"ECONNREFUSED"})
        for thief in thieves:
            self.assertEqual(thief.reports(), [])
            thief.kill()
        server.kill()

    def test_stopped_agent_refuses_or_waits(self):
        server = self.serve("read-text")
        self.east.agent.process.send_signal(signal.SIGSTOP)
        client = self.peer("connect", f"text:{MARKER},recv-eof")
        with self.assertRaises(host.HostError):
            server.next(timeout=1)
        self.east.agent.process.send_signal(signal.SIGCONT)
        self.assertEqual(server.next()["text"], MARKER)
        self.assert_done(client.next())
        server.kill()

    def test_a_new_agent_serves_again(self):
        self.east.agent.kill()
        self.assertEqual(self.ask()["connect"], "ECONNREFUSED")
        self.east.agent.start()
        self.east.agent.wait_ready()
        self.assert_served()

    def test_west_killed_resets(self):
        self.assert_served()
        server = self.serve("read-text")
        self.west.agent.kill()
        result = self.ask()
        self.assertEqual(result.get("end") or result["connect"], "reset", result)
        self.assertEqual(server.reports(), [])
        server.kill()


class IdentityOfProcessTest(ClosedCase):
    """The cgroup decides who a process is."""

    topology_name = "whoami"

    def test_nested_cgroup_is_captured(self):
        self.assert_served(cgroup="deep/inside")
        self.east.agent.kill()
        self.assertEqual(self.ask(cgroup="deep/inside")["connect"], "ECONNREFUSED")

    def test_policy_denies_in_connect(self):
        server = self.serve("read-text")
        self.assertEqual(self.ask(pod=self.other)["connect"], "EACCES")
        self.assertEqual(server.reports(), [])
        server.kill()

    def test_unenrolled_pod_is_not_carried(self):
        server = self.serve("read-text")
        before = self.east.agent.cli("datapath")["counters"]["allowed_unenrolled"]
        result = driver.connect(self.stranger, self.service.vip, 80, "send:10")
        self.assertNotEqual(result["connect"], "ok")
        self.assertEqual(server.reports(), [])
        self.assertGreater(self.east.agent.cli("datapath")["counters"]["allowed_unenrolled"], before)
        server.kill()

    def test_a_connection_straight_to_the_listener_is_refused(self):
        server = self.serve("read-text")
        before = self.east.agent.metrics()
        result = driver.connect(self.client, "127.0.0.1", LISTENER, f"text:{MARKER},recv-eof")
        self.assertIn(result.get("end") or result["connect"], ("reset", "ECONNREFUSED"), result)
        self.assertEqual(server.reports(), [])
        if result["connect"] == "ok":
            self.assert_counted(self.east.agent, before, "not_captured")
        server.kill()


class AcceptorPolicyTest(ClosedCase):
    """The dialer's directory allows more than the acceptor's: the acceptor has the last word."""

    topology_name = "twopolicies"

    @classmethod
    def build(cls):
        super().build()
        cls.west.own_directory = True

    def failed_attempts(self):
        """That east holds against west."""
        return sum(count for sample, count in self.east.agent.metrics().items()
                   if sample.startswith("tombolo_service_attempts_failed_total{")
                   and 'destination_cluster="west"' in sample)

    def test_denied_by_the_acceptor(self):
        self.topo.allow(self.other, "shop/server")
        self.topo.write_directory(cluster=self.east)
        server = self.serve("read-text")
        host.wait_until("east to allow it", lambda: self.ask(pod=self.other)["connect"] == "ok")
        before, start = self.west.agent.metrics(), len(self.west.agent.log())
        failed = self.failed_attempts()
        self.assertEqual(self.ask(pod=self.other)["end"], "reset")
        self.assertEqual(self.failed_attempts(), failed, "it is not west's failure")
        self.assert_counted(self.west.agent, before, "denied")
        self.assert_logged(self.west.agent, start, "denied", self.other.id)
        self.assertEqual(server.reports(), [])
        server.kill()
        self.assert_served()


class FullServicesTest(ClosedCase):
    """More services than the kernel's map holds."""

    topology_name = "fullservices"
    east_config = {"capture": {"max_services": 4}}
    east_gets_ready = False

    @classmethod
    def build(cls):
        super().build()
        for number in range(8):
            cls.topo.service(f"shop/more{number}", 80, [Endpoint(cls.server, cls.PORT)])
            cls.topo.allow(cls.client, f"shop/more{number}")

    def test_what_does_not_fit_is_refused(self):
        server = self.serve("read-text")
        refused = 0
        for service in self.topo.services:
            for vip in (service.vip, service.vip6):
                result = self.ask(vip=vip)
                if result["connect"] == "ok":  # one of those that did fit: through a tunnel
                    self.assertIn(result["end"], ("eof", "reset"))
                else:
                    self.assertIn(result["connect"], ("ECONNREFUSED", "EACCES", "EPERM"), result)
                    refused += 1
        self.assertGreaterEqual(refused, 2 * len(self.topo.services) - 4)
        # Nor may anything else that the maps do not know.
        self.assertNotIn(self.ask(vip="10.96.9.9")["connect"], ("ok", "ENETUNREACH"))
        host.wait_until("the error to be shown", lambda: "services" in self.east.agent.cli(
            "status")["datapath"]["error"])
        server.kill()


class FullWorkloadsTest(ClosedCase):
    """More workloads than the kernel's map holds."""

    topology_name = "fullworkloads"
    east_config = {"capture": {"max_workloads": 2}}
    east_gets_ready = False

    @classmethod
    def build(cls):
        super().build()
        cls.more = [cls.east.pod(f"more{number}") for number in range(6)]
        for pod in cls.more:
            cls.topo.allow(pod, "shop/server")

    def test_a_workload_that_does_not_fit_is_refused(self):
        server = self.serve("read-text")
        connected = 0
        for pod in self.more:
            result = self.ask(pod=pod)
            connected += result["connect"] == "ok"
            if result["connect"] != "ok":
                self.assertIn(result["connect"], ("ECONNREFUSED", "EACCES", "EPERM"), result)
        self.assertLessEqual(connected, 2)
        server.kill()


class FullPendingTest(ClosedCase):
    """More captured connections than may wait for the agent."""

    topology_name = "fullpending"
    east_config = {"capture": {"max_pending": 16, "max_pending_per_workload": 8}}

    def test_more_than_may_wait_are_refused(self):
        server = self.serve("read-text,send:10")
        self.east.agent.process.send_signal(signal.SIGSTOP)
        clients = self.peer("connect", f"text:{MARKER},shutdown,recv-eof", 60)
        # At least those beyond the quota are refused at once; the rest wait for the agent.
        refused = [clients.next() for _ in range(60 - 8)]
        time.sleep(1)
        refused += clients.reports()
        for result in refused:
            self.assertIn(result.get("end") or result["connect"], ("ECONNREFUSED", "reset"), result)
        self.east.agent.process.send_signal(signal.SIGCONT)
        for _ in range(60 - len(refused)):
            self.assertIn(clients.next()["end"], ("eof", "reset"))
        server.kill()
        self.assert_served()


if __name__ == "__main__":
    case.main()
