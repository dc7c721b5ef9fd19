# SPDX-License-Identifier: Apache-2.0
"""Agents that stop, start and run for long."""
import os
import time

from testing import case, driver, host
from testing.case import scaled


class RestartTest(case.PairCase):
    """SIGTERM and what comes after it."""

    topology_name = "restart"

    def setUp(self):
        super().setUp()
        self.start_agents_again()

    def _drain(self, agent):
        server = self.serve("send:10000,recv:10,send:30000,shutdown,recv-eof")
        running = self.peer("connect", "recv:10000,wait,send:10,shutdown,recv-eof")
        self.east.agent.wait_open(from_peer=10000)
        start = len(agent.log())
        agent.expect_death = True
        agent.process.terminate()
        self.assert_logged(agent, start, "draining")
        agent.cli("status")  # asks every thread, after each was told to drain
        late = driver.connect(self.client, self.service.vip, 80,
                              "recv:10000,send:10,shutdown,recv-eof")
        self.assertNotEqual(late.get("at"), "done", "a new connection was served while draining")
        running.tell()
        self.assert_done(running.next(), received=40000)
        self.assertEqual(agent.process.wait(timeout=host.PATIENCE), 0)
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
        server = self.serve("recv-eof")
        running = self.peer("connect", "recv-eof")
        agent.wait_open()
        begun = time.monotonic()
        self.assertEqual(agent.stop(), 0)
        took = time.monotonic() - begun
        self.assertGreater(took, 1.9)
        self.assertLess(took, 20)  # far less than the default of 30 s
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
        server = self.serve("send:100")
        self.assert_done(driver.connect(self.client, self.service.vip, 80, "recv-eof"),
                         received=100)
        server.kill()


class EnduranceTest(case.PairCase):
    """Many connections, and nothing left of them."""

    topology_name = "endurance"

    def setUp(self):
        super().setUp()
        self.server_process = self.echo()

    def tearDown(self):
        self.server_process.kill()
        super().tearDown()

    def pressure(self):
        """What must not grow: descriptors, entries of kernel maps, open connections."""
        found = {}
        for cluster in self.topo.clusters:
            agent = cluster.agent
            found[f"{cluster.name} descriptors"] = agent.descriptors()
            found[f"{cluster.name} connections"] = len(agent.connections())
            for table in agent.cli("datapath")["maps"]:
                found[f"{cluster.name} {table['name']}"] = table["entries"]
        return found

    def pressure_at_rest(self):
        """The same, after what went before has ended."""
        for cluster in self.topo.clusters:
            cluster.agent.wait_no_connections()
        return self.pressure()

    def idle_tunnels(self):
        """They stay for a while by design, with one descriptor at either end."""
        return self.east.agent.cli("status")["tunnels"]["idle"]

    def settle_to(self, before, slack):
        """Waits until nothing exceeds what was before by more than `slack()` descriptors."""
        def grown():
            return {key: (before[key], value) for key, value in self.pressure().items()
                    if value > before[key] + (slack() if "descriptors" in key else 0)}
        try:
            host.wait_until("everything to be given back", lambda: not grown(), 60, 0.5)
        except host.HostError as error:
            self.fail(f"{error}: (before, after) {grown()}")

    def test_sequential_connections_leave_nothing_behind(self):
        exchange = "send:10,recv:10,shutdown,recv-eof"
        self.peer("repeat", exchange, 100).next()
        before = self.pressure_at_rest()
        count = scaled(10000)
        ends = self.peer("repeat", exchange, count).next(timeout=400)
        self.assertEqual(ends, {"done": count})
        self.settle_to(before, slack=lambda: 8)

    def test_5000_idle_connections_at_once(self):
        self.peer("repeat", "send:1,shutdown", 10).next()
        before = self.pressure_at_rest()
        count = scaled(5000)
        peer = self.peer("hold", count)
        self.assertEqual(peer.next(timeout=400), {"open": count, "failures": []})
        self.assertEqual(len(self.east.agent.connections()), count)
        time.sleep(2)
        peer.tell()
        self.assertEqual(peer.next(timeout=400), {"alive": count, "failures": []})
        self.east.agent.wait_no_connections()
        self.settle_to(before, slack=lambda: self.idle_tunnels() + 8)


if __name__ == "__main__":
    case.main()
