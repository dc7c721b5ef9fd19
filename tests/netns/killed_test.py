# SPDX-License-Identifier: Apache-2.0
"""Agents that die under a running connection."""
from testing import case, driver, host
from testing.topology import Endpoint


class KilledAgentTest(case.PairCase):
    """An agent is killed under a running connection: an application must never take that for the
    orderly end of what it was reading."""

    topology_name = "killed"

    # More than will ever be sent: the agent is killed as soon as some of it has arrived.
    DRIP = "drip:3000:0.02"

    def setUp(self):
        super().setUp()
        self.start_agents_again()

    def end(self, agent):
        """What happens to the agent."""
        agent.kill()

    def _kill(self, cluster, client_script, server_script, up, down):
        """Both sides' ends when the agent of `cluster` dies after so many bytes each way."""
        server, client = self.serve(server_script), self.peer("connect", client_script)
        self.west.agent.wait_open(from_peer=up)
        self.east.agent.wait_open(from_peer=down)
        self.assertEqual((client.reports(), server.reports()), ([], []))
        self.end(cluster.agent)
        ends = client.next(), server.next()
        server.kill()
        return ends

    def assert_reader_and_writer_reset(self, reader, writer):
        """The reader never sees an end of file; the writer learns it from read or write."""
        self.assertIsNone(reader["corrupt_at"], reader)
        self.assertGreater(reader["received"], 0, reader)
        self.assertEqual(reader["end"], "reset", reader)
        self.assertIn(writer["end"], ("reset", "EPIPE"), writer)

    def _download(self, cluster):
        self.assert_reader_and_writer_reset(*self._kill(
            cluster, "recv-eof", f"{self.DRIP}:100000,shutdown,recv-eof", 0, 1000000))

    def test_download_when_the_dialer_dies(self):
        self._download(self.east)

    def test_download_when_the_acceptor_dies(self):
        self._download(self.west)

    def _upload(self, cluster):
        client, server = self._kill(cluster, f"{self.DRIP}:100000,shutdown,recv-eof", "recv-eof",
                                    1000000, 0)
        self.assert_reader_and_writer_reset(server, client)

    def test_upload_when_the_dialer_dies(self):
        self._upload(self.east)

    def test_upload_when_the_acceptor_dies(self):
        self._upload(self.west)

    def _both_wait(self, cluster):
        client, server = self._kill(cluster, "send:10,recv-eof", "recv:10,send:10,recv-eof", 10, 10)
        self.assertEqual((client["end"], server["end"]), ("reset", "reset"))

    def test_waiting_sides_when_the_dialer_dies(self):
        self._both_wait(self.east)

    def test_waiting_sides_when_the_acceptor_dies(self):
        self._both_wait(self.west)

    def _half_closed(self, cluster):
        """The client has ended its direction in order; the answer is cut off."""
        client, server = self._kill(cluster, "send:10,shutdown,recv-eof",
                                    f"recv-eof,{self.DRIP}:1000,shutdown", 10, 1000)
        self.assertEqual(client["end"], "reset", client)
        self.assert_intact(server, received=10)
        self.assertIn(server["end"], ("reset", "EPIPE"), server)

    def test_half_closed_when_the_dialer_dies(self):
        self._half_closed(self.east)

    def test_half_closed_when_the_acceptor_dies(self):
        self._half_closed(self.west)


class StoppedTwiceTest(KilledAgentTest):
    """An agent that is told to stop, and told again while it drains: the same for applications, and
    the agent itself ends in order, whatever state its connections are in."""

    topology_name = "stopped"

    def end(self, agent):
        start = len(agent.log())
        agent.expect_death = True
        agent.process.terminate()
        self.assert_logged(agent, start, "draining")
        agent.process.terminate()
        self.assertEqual(agent.process.wait(timeout=host.PATIENCE), 0)
        self.assert_logged(agent, start, "agent stopped")

    def _every_state(self, cluster):
        """Not drained, but reset: connections that wait, that stall each way, that are half
        closed each way; and an idle tunnel."""
        scripts = {"waits": ("send:10,recv-eof", "recv:10,send:10,recv-eof"),
                   "stalls": ("send:8000000,recv-eof", "wait"),
                   "is stalled": ("send:1,wait", "recv:1,send:8000000,recv-eof"),
                   "has ended": ("send:10,shutdown,recv-eof", "recv-eof,wait"),
                   "has seen the end": ("recv-eof,wait", "shutdown,recv-eof")}
        peers = {}
        for number, (name, (client, server)) in enumerate(scripts.items()):
            service, port = self.services[number]
            peers[name] = (driver.serve(self.server, port, server),
                           driver.Peer(self.client, "connect", service.vip, 80, client))
        for agent in (self.east.agent, self.west.agent):
            agent.wait_open(len(scripts))
        self.end(cluster.agent)
        for name, (server, client) in peers.items():
            if "wait" not in scripts[name][0].split(","):
                self.assertIn(client.next()["end"], ("reset", "EPIPE"), name)
            client.kill()
            server.kill()

    @classmethod
    def build(cls):
        super().build()
        cls.services = []
        for port in range(9001, 9006):
            service = cls.topo.service(f"shop/state{port}", 80, [Endpoint(cls.server, port)])
            cls.topo.allow(cls.client, f"shop/state{port}")
            cls.services.append((service, port))

    def test_every_state_when_the_dialer_stops(self):
        self._every_state(self.east)

    def test_every_state_when_the_acceptor_stops(self):
        self._every_state(self.west)


if __name__ == "__main__":
    case.main()
