# SPDX-License-Identifier: Apache-2.0
"""tools/quickstart: everything that it shows holds, and it leaves nothing behind."""
import contextlib
import io
import os
import sys
import unittest
from unittest import mock

from testing import case, host

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools"))

import quickstart  # noqa: E402  pylint: disable=wrong-import-position
import quickstart_world  # noqa: E402  pylint: disable=wrong-import-position

NAME = "quicktest"  # not that of one which somebody has kept


def traces():
    """Network namespaces that there are of it."""
    return [name for name in os.listdir("/run/netns") if name.startswith(f"tb-{NAME}-")]


class QuickstartTest(unittest.TestCase):
    """With the programs of this build tree."""

    def setUp(self):
        case.need("curl", "nginx")
        try:
            host.prepare()
        except host.HostError as error:
            case.skip_without(error)
        for module in (quickstart, quickstart_world):
            self.enterContext(mock.patch.object(module, "NAME", NAME))

    def show(self, *arguments):
        """(exit status, what it printed)."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            status = quickstart.main(list(arguments))
        return status, printed.getvalue()

    def test_all_of_it_holds(self):
        status, printed = self.show("--keep")
        self.addCleanup(self.show, "--down")
        self.assertEqual(status, 0, printed)
        self.assertRegex(printed, r"20 answered by west, then 20 by north")
        self.assertNotIn("FAIL", printed)
        self.assertTrue(traces())
        self.assertEqual(self.show("--down")[0], 0)
        self.assertEqual(traces(), [])

    def test_it_says_what_does_not_hold(self):
        def dead(world):
            world.north.agent.kill()
            kill_west(world)
        kill_west = quickstart_world.World.kill_west
        with mock.patch.object(quickstart_world.World, "kill_west", dead):
            status, printed = self.show()
        self.assertEqual(status, 1)
        self.assertIn("no 20 answers from north", printed)
        self.assertEqual(traces(), [])


if __name__ == "__main__":
    case.main()
