# SPDX-License-Identifier: Apache-2.0
"""Agents that stop, start and run for long."""
import os
import time

from testing import case, driver, host
from testing.case import scaled
from testing.topology import Endpoint

PORT = 8080


class LifecycleCase(case.TopologyCase):
    """A client in east, a server in west."""

    @classmethod
    def build(cls):
        cls.east, cls.west = cls.topo.cluster("east"), cls.topo.cluster("west")
        cls.client, cls.server = cls.east.pod("client"), cls.west.pod("server")
        cls.service = cls.topo.service("shop/server", 80, [Endpoint(cls.server, PORT)])
        cls.topo.allow(cls.client, "shop/server")

    def peer(self, *arguments):
        """A client of the service."""
        mode, *rest = arguments
        return driver.Peer(self.client, mode, self.service.vip, 80, *rest)


class RestartTest(LifecycleCase):
    """SIGTERM and what comes after it."""

    topology_name = "restart"

    def setUp(self):
        super().setUp()
        for cluster in self.topo.clusters:
            if cluster.agent.process.poll() is not None:
                cluster.agent.start()
                cluster.agent.wait_ready()

    def _drain(self, agent):
        server = driver.serve(self.server, PORT, "drip:40:0.1,shutdown,recv-eof")
        running = self.peer("connect", "recv-eof")
        time.sleep(1)
        agent.expect_death = True
        agent.process.terminate()
        time.sleep(0.5)
        late = driver.connect(self.client, self.service.vip, 80, "recv-eof")
        self.assertNotEqual(late.get("at"), "done", "a new connection was served while draining")
        self.assert_done(running.next(), received=40000)
        self.assertEqual(agent.process.wait(timeout=20), 0)
        server.kill()

    def test_dialer_drains(self):
        self._drain(self.east.agent)

    def test_acceptor_drains(self):
        self._drain(self.west.agent)

    def test_drain_ends_at_its_deadline(self):
        agent = self.east.agent
        agent.config = {"deadlines": {"drain": "2s"}}
        agent.stop()
        agent.write_config()
        agent.start()
        agent.wait_ready()
        server = driver.serve(self.server, PORT, "recv-eof")
        running = self.peer("connect", "sleep:0.1,recv-eof")
        time.sleep(0.5)
        begun = time.monotonic()
        self.assertEqual(agent.stop(), 0)
        self.assertLess(time.monotonic() - begun, 6)
        self.assertEqual(running.next()["end"], "reset")
        server.kill()

    def test_restart_takes_over_the_pins(self):
        pins = f"{host.BPFFS}/tombolo/{self.east.agent.instance}"

        def links():
            return {program["name"]: program["pin"]
                    for program in self.east.agent.cli("datapath")["programs"]}
        before = links()
        self.assertTrue(before)
        for round_number in range(3):
            self.east.agent.stop() if round_number % 2 else self.east.agent.kill()
            self.assertTrue(os.path.isdir(pins), "the programs must outlive the agent")
            refused = driver.connect(self.client, self.service.vip, 80, "send:1")
            self.assertEqual(refused["connect"], "ECONNREFUSED")
            self.east.agent.start()
            self.east.agent.wait_ready()
            self.assertEqual(links(), before)
        server = driver.serve(self.server, PORT, "send:100")
        self.assert_done(driver.connect(self.client, self.service.vip, 80, "recv-eof"),
                         received=100)
        server.kill()


class EnduranceTest(LifecycleCase):
    """Many connections, and nothing left of them."""

    topology_name = "endurance"

    def setUp(self):
        super().setUp()
        self.echo = driver.echo(self.server, PORT)

    def tearDown(self):
        self.echo.kill()
        super().tearDown()

    def pressure(self):
        """What must not grow: descriptors, entries of kernel maps, open connections."""
        found = {}
        for cluster in self.topo.clusters:
            agent = cluster.agent
            found[f"{cluster.name} descriptors"] = agent.descriptors()
            found[f"{cluster.name} connections"] = len(agent.cli("connections")["connections"])
            for table in agent.cli("datapath")["maps"]:
                found[f"{cluster.name} {table['name']}"] = table["entries"]
        return found

    def settle_to(self, before, slack):
        """Waits until nothing exceeds what was before by more than `slack` descriptors."""
        def grown():
            return {key: (before[key], value) for key, value in self.pressure().items()
                    if value > before[key] + (slack if "descriptors" in key else 0)}
        try:
            host.wait_until("everything to be given back", lambda: not grown(), 15, 0.5)
        except host.HostError as error:
            self.fail(f"{error}: (before, after) {grown()}")

    def test_sequential_connections_leave_nothing_behind(self):
        exchange = "send:10,recv:10,shutdown,recv-eof"
        self.peer("repeat", exchange, 100).next()
        before = self.pressure()
        count = scaled(10000)
        ends = self.peer("repeat", exchange, count).next(timeout=240)
        self.assertEqual(ends, {"done": count})
        self.settle_to(before, slack=8)

    def test_5000_idle_connections_at_once(self):
        self.peer("repeat", "send:1,shutdown", 10).next()
        before = self.pressure()
        count = scaled(5000)
        peer = self.peer("hold", count)
        self.assertEqual(peer.next(timeout=200), {"open": count, "failures": []})
        listed = self.east.agent.cli("connections")["connections"]
        self.assertEqual(len(listed), count)
        time.sleep(2)
        peer.tell()
        self.assertEqual(peer.next(timeout=200), {"alive": count, "failures": []})
        # Idle tunnels stay for a while by design: two descriptors would be one too many each.
        host.wait_until("the connections to end",
                        lambda: not self.east.agent.cli("connections")["connections"], 20)
        idle = self.east.agent.cli("status")["tunnels"]["idle"]
        self.settle_to(before, slack=idle + 8)


if __name__ == "__main__":
    case.main()
