# SPDX-License-Identifier: Apache-2.0
"""manifests/systemd: systemd understands the unit, and the agent the command in it."""
import configparser
import os
import re
import shlex
import shutil
import tempfile
import unittest

from testing import case, host
from testing.topology import program

UNIT = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                    "../../manifests/systemd/tombolo-agent.service")


class UnitTest(unittest.TestCase):
    """The unit as it is shipped, except for where the program is."""

    def setUp(self):
        with open(UNIT, encoding="utf-8") as text:
            self.text = text.read()
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str
        parser.read_string(self.text)
        self.service = parser["Service"]
        self.command = shlex.split(self.service["ExecStart"])

    def verify(self, text):
        """What systemd finds wrong with a unit of this text."""
        if shutil.which("systemd-analyze") is None:
            case.skip_without("the systemd-analyze command (Debian package systemd)")
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, os.path.basename(UNIT))
            with open(path, "w", encoding="utf-8") as out:
                out.write(text.replace(self.command[0], program("tombolo-agent")))
            return host.run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
                            path).stderr

    def test_systemd_finds_nothing_wrong(self):
        self.assertEqual(self.verify(self.text), "")

    def test_systemd_would_find_a_mistake(self):
        self.assertIn("Unknown key", self.verify(self.text.replace("UMask=", "Umask=")))

    def test_the_agent_knows_its_options(self):
        self.assertEqual(os.path.basename(self.command[0]), "tombolo-agent")
        known = host.sh(program("tombolo-agent"), "--help")
        for option in self.command[1:]:
            if option.startswith("--"):
                self.assertRegex(known, rf"(?m)^ +{re.escape(option.partition('=')[0])}\b")

    def test_stopping_leaves_time_to_drain(self):
        self.assertEqual(self.service["KillMode"], "mixed")
        self.assertEqual(self.service.get("KillSignal", "SIGTERM"), "SIGTERM")
        # deadlines.drain, 30 s by default, and three more for what is left then.
        self.assertGreater(int(self.service["TimeoutStopSec"].removesuffix("s")), 33)

    def test_a_reload_is_a_sighup(self):
        self.assertIn(self.service.get("ExecReload", "").split("#")[0].strip(),
                      ("", "/bin/kill -HUP $MAINPID", "kill -HUP $MAINPID"))


if __name__ == "__main__":
    case.main()
