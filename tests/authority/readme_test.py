# SPDX-License-Identifier: Apache-2.0
"""README.md, "Enrol by hand": its commands, run as they stand there."""
import os
import re
import tempfile
import unittest

from testing import case, host
from testing.topology import program

README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../README.md")
# Ports are as the README has them, so the loopback interface is one that nobody else has. A reader
# starts the server and goes on when it runs: that wait is all that is added.
RUN = """
set -euo pipefail
ip link set lo up
trap 'kill %1' EXIT
{first}
for _ in $(seq 600); do curl -sf http://127.0.0.1:15021/readyz >&2 && break; sleep 0.05; done
{rest}
"""


def commands(title):
    """The shell blocks of a section."""
    with open(README, encoding="utf-8") as text:
        section = text.read().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


class ReadmeTest(unittest.TestCase):
    """What is printed there works."""

    def test_enrol_by_hand(self):
        if os.geteuid() != 0:
            case.skip_without("root, for a network namespace")
        first, *rest = commands("Enrol by hand")
        self.assertTrue(first.rstrip().endswith("&"), "the first block starts the server")
        path = f"{os.path.dirname(program('tombolo-ca'))}:{os.environ['PATH']}"
        with tempfile.TemporaryDirectory() as directory:
            done = host.run("unshare", "--net", "bash", "-c", RUN.format(
                first=first, rest="\n".join(rest)), cwd=directory,
                env=os.environ | {"PATH": path})
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(done.stdout.count("svid.pem: OK"), len(rest), done.stdout)


if __name__ == "__main__":
    case.main()
