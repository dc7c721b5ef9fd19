# SPDX-License-Identifier: Apache-2.0
"""agent.yaml changes under a running agent."""
import signal

from netns.reload_case import CONFIG, ReloadCase
from testing import case, driver
from testing.agent import merge


class ConfigReloadTest(ReloadCase):
    """agent.yaml changes."""

    topology_name = "reloadcfg"

    def setUp(self):
        super().setUp()
        self.write({})
        self.assertEqual(self.config_error(), "")
        self.server_process = self.echo()

    def tearDown(self):
        self.server_process.kill()
        super().tearDown()

    def config_error(self):
        """What east says about its agent.yaml."""
        return self.east.agent.cli("status")["config_error"]

    def write(self, changes, extra=""):
        """East's agent.yaml with some keys changed, and text that no key of ours makes: written
        and read."""
        self.east.agent.config = merge(CONFIG, changes)
        self.after_reload([self.east], lambda: self.east.agent.write_config(extra))

    def assert_error(self, *words):
        """config_error contains all words."""
        for word in words:
            self.assertIn(word, self.config_error())

    def test_broken_file_keeps_the_old_values(self):
        running, file = self.hold(), self.east.agent.config_path
        for changes, extra, words in (({}, "nonsense: 1\n", [f"{file}:", "nonsense"]),
                                      ({}, "  - [\n", [f"{file}:"]),
                                      ({"deadlines": {"dial": "5"}}, "", [f"{file}:", "dial"]),
                                      ({"log": {"level": "loud"}}, "", [f"{file}:", "loud"])):
            with self.subTest(words[-1]):
                self.write(changes, extra)
                self.assert_error(*words)
                self.assertEqual(self.ask(), "x")
                self.assertTrue(self.east.agent.cli("status")["ready"])
        self.write({})
        self.assertEqual(self.config_error(), "")
        self.go_on(running)

    def test_restart_only_keys_are_named(self):
        self.write({"threads": 2, "capture": {"max_services": 99},
                    "tunnel": {"listen": f"{self.east.ip}:15999"}, "log": {"level": "error"}})
        self.assert_error("restart", "threads", "capture.max_services", "tunnel.listen")
        self.assertNotIn("log", self.config_error())
        self.assertEqual(self.east.agent.cli("status")["threads"], 1)
        self.assertEqual(self.ask(), "x")

    def _loads_logged(self):
        """How many lines one reload adds; the agent writes its log before it tells of a reload."""
        start = len(self.east.agent.log())
        self.replace(self.topo.directory(), [self.east])
        return self.east.agent.log()[start:].count("directory loaded")

    def test_log_level_changes_at_once(self):
        self.assertEqual(self._loads_logged(), 1)
        self.write({"log": {"level": "error"}})
        self.assertEqual(self._loads_logged(), 0)
        self.write({"log": {"level": "info"}})
        self.assertEqual(self._loads_logged(), 1)
        self.assertEqual(self.config_error(), "")

    def test_a_deadline_changes_at_once(self):
        self.east.agent.kill()  # whatever is pooled would spare it the dial
        self.east.agent.config = merge(CONFIG, {"deadlines": {"dial": "50s", "connect": "50s"}})
        self.east.agent.write_config()
        self.east.agent.start()
        self.east.agent.wait_ready()
        self.write({"deadlines": {"dial": "500ms", "connect": "500ms"}})
        self.west.agent.process.send_signal(signal.SIGSTOP)
        try:
            result = driver.connect(self.client, self.service.vip, 80, "text:x,read-text")
            self.assertEqual(result["end"], "reset")
            self.assertLess(result["seconds"], 15)
        finally:
            self.west.agent.process.send_signal(signal.SIGCONT)


if __name__ == "__main__":
    case.main()
