# SPDX-License-Identifier: Apache-2.0
"""tombolo-agent --check: every mistake in its files is named, and nothing is started."""
import os

from testing import case, host
from testing.topology import Endpoint, program

PORT = 8080


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
        return host.run(program("tombolo-agent"), "--config",
                        path or self.east.agent.config_path, "--check")

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
