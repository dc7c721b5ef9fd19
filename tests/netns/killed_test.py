# SPDX-License-Identifier: Apache-2.0
"""Agents that die under a running connection."""
from testing import case


class KilledAgentTest(case.PairCase):
    """An agent is killed under a running connection: an application must never take that for the
    orderly end of what it was reading."""

    topology_name = "killed"

    # More than will ever be sent: the agent is killed as soon as some of it has arrived.
    DRIP = "drip:3000:0.02"

    def setUp(self):
        super().setUp()
        self.start_agents_again()

    def _kill(self, cluster, client_script, server_script, up, down):
        """Both sides' ends when the agent of `cluster` dies after so many bytes each way."""
        server, client = self.serve(server_script), self.peer("connect", client_script)
        self.west.agent.wait_open(from_peer=up)
        self.east.agent.wait_open(from_peer=down)
        self.assertEqual((client.reports(), server.reports()), ([], []))
        cluster.agent.kill()
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


if __name__ == "__main__":
    case.main()
