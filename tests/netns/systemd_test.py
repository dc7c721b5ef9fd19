# SPDX-License-Identifier: Apache-2.0
"""manifests/systemd: systemd understands the units, and the programs the commands in them."""
import configparser
import os
import re
import shlex
import tempfile
import unittest

from testing import case, host
from testing.jail import UID, Jail
from testing.topology import program
from testing.yaml_text import to_yaml

UNITS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../manifests/systemd")


class UnitCase:
    """A unit as it is shipped, except for where the program is."""

    PROGRAM = ""
    UNIT = ""  # as its program, unless given
    SUBCOMMAND = ()

    def setUp(self):
        self.unit = f"{UNITS}/{self.UNIT or self.PROGRAM}.service"
        with open(self.unit, encoding="utf-8") as text:
            self.text = text.read()
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.optionxform = str
        parser.read_string(self.text)
        self.service = parser["Service"]
        self.command = shlex.split(self.service["ExecStart"])

    def analyze(self, text, *arguments):
        """What systemd-analyze does with a unit of this text."""
        case.need("systemd-analyze")
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, os.path.basename(self.unit))
            with open(path, "w", encoding="utf-8") as out:
                out.write(text.replace(self.command[0], program(self.PROGRAM)))
            return host.run("systemd-analyze", *arguments, path)

    def verify(self, text):
        """What systemd finds wrong with a unit of this text."""
        return self.analyze(text, "verify", "--man=no", "--recursive-errors=no").stderr

    def test_systemd_finds_nothing_wrong(self):
        self.assertEqual(self.verify(self.text), "")

    def test_systemd_would_find_a_mistake(self):
        self.assertIn("Unknown key", self.verify(self.text.replace("UMask=", "Umask=")))

    def test_the_program_knows_its_options(self):
        self.assertEqual(os.path.basename(self.command[0]), self.PROGRAM)
        known = host.sh(program(self.PROGRAM), *self.SUBCOMMAND, "--help")
        self.assertEqual(self.command[1:1 + len(self.SUBCOMMAND)], list(self.SUBCOMMAND))
        for option in self.command[1:]:
            if option.startswith("--"):
                self.assertRegex(known, rf"(?m)^ +{re.escape(option.partition('=')[0])}\b")


class AgentCase(UnitCase):
    """A tombolo-agent's, whatever its role."""

    PROGRAM = "tombolo-agent"

    def test_stopping_leaves_time_to_drain(self):
        self.assertEqual(self.service["KillMode"], "mixed")
        self.assertEqual(self.service.get("KillSignal", "SIGTERM"), "SIGTERM")
        # deadlines.drain, 30 s by default, and three more for what is left then.
        self.assertGreater(int(self.service["TimeoutStopSec"].removesuffix("s")), 33)

    def test_a_reload_is_a_sighup(self):
        self.assertIn(self.service.get("ExecReload", "").split("#")[0].strip(),
                      ("", "/bin/kill -HUP $MAINPID", "kill -HUP $MAINPID"))


class AgentUnitTest(AgentCase, unittest.TestCase):
    """The node agent's."""


class ConfinedCase(UnitCase):
    """Of programs that need next to nothing of the machine."""

    def test_it_is_confined(self):
        # From 0, nothing is exposed, to 10.
        judged = self.analyze(self.text, "security", "--offline=yes", "--threshold=20")
        self.assertEqual(judged.returncode, 0, judged.stdout[-400:] + judged.stderr)


class GatewayUnitTest(AgentCase, ConfinedCase, unittest.TestCase):
    """A gateway's."""

    UNIT = "tombolo-gateway"

    def test_it_starts_and_stops_as_an_ordinary_user(self):
        """There is no systemd to start it: a container as narrow as what the unit leaves."""
        run, etc = f"/run/{self.service['RuntimeDirectory']}", "/etc/tombolo"
        config = {"role": "gateway", "cluster": "west", "node": "gw-1",
                  "directory": "directory.yaml", "admin": {"socket": f"{run}/agent.sock"}}
        directory = {"trust_domain": "test.example", "clusters": [
            {"name": "west", "gateways": [{"name": "gw-1", "address": "203.0.113.10:15443"}]}]}
        with tempfile.TemporaryDirectory() as files, tempfile.TemporaryDirectory() as state:
            for name, content in (("gateway", config), ("directory", directory)):
                with open(f"{files}/{name}.yaml", "w", encoding="utf-8") as out:
                    out.write(to_yaml(content))
            os.chmod(files, 0o755)
            os.chown(state, UID, UID)
            with Jail(os.path.dirname(program(self.PROGRAM)),
                      [(files, etc, "ro"), (state, run, "rw")]) as jail:
                process = jail.start([self.PROGRAM, *self.command[1:]])
                host.wait_until("it to be ready", lambda: jail.ask(
                    process, "-f", "http://127.0.0.1:15020/readyz")[0] == 0)
                process.terminate()
                self.assertEqual(process.wait(int(self.service["TimeoutStopSec"][:-1])), 0)


class AuthorityUnitTest(ConfinedCase, unittest.TestCase):
    """The certificate authority's."""

    PROGRAM = "tombolo-ca"
    SUBCOMMAND = ("serve",)

    def test_it_starts_and_stops_as_an_ordinary_user(self):
        """There is no systemd to start it: a container as narrow as what the unit leaves."""
        state = f"/var/lib/{self.service['StateDirectory']}"
        with tempfile.TemporaryDirectory() as directory:
            os.chown(directory, UID, UID)
            with Jail(os.path.dirname(program(self.PROGRAM)), [(directory, state, "rw")]) as jail:
                status, output = jail.run([self.PROGRAM, "init", "--dir", state,
                                           "--trust-domain", "test.example"])
                self.assertEqual(status, 0, output)
                process = jail.start([self.PROGRAM, *self.command[1:]])
                host.wait_until("it to be ready", lambda: jail.ask(
                    process, "-f", "http://127.0.0.1:15021/readyz")[0] == 0)
                process.terminate()
                self.assertEqual(process.wait(int(self.service["TimeoutStopSec"][:-1])), 0)


if __name__ == "__main__":
    case.main()
