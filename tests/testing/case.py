# SPDX-License-Identifier: Apache-2.0
"""What every netns test shares: a topology per class, agents that must stay healthy."""
import os
import shutil
import sys
import unittest

from . import driver, host
from .topology import Endpoint, Topology

# Sanitizer builds are slow: they run the same tests with less data.
SCALE = float(os.environ.get("TOMBOLO_SCALE", "1"))
# agent.yaml for tests of many connections at once whose truth is not about deadlines: hundreds of
# handshakes in one moment take a slow machine longer than the five seconds of the defaults.
PATIENT = {"deadlines": dict.fromkeys(("handshake", "dial", "connect", "endpoint_connect"), "60s")}
_SKIPPED = 77  # ctest's SKIP_RETURN_CODE


def scaled(count, least=1):
    """`count` of bytes or connections, fewer under a sanitizer."""
    return max(least, int(count * SCALE))


def skip_without(capability):
    """Skips what cannot run on this machine; a failure where TOMBOLO_NO_SKIP is 1."""
    message = f"missing capability: {capability}"
    if os.environ.get("TOMBOLO_NO_SKIP") == "1":
        raise host.HostError(message)
    raise unittest.SkipTest(message)


def need(*commands):
    """Skips what needs one that is not installed."""
    for command in commands:
        if shutil.which(command) is None:
            skip_without(f"the {command} command")


class TopologyCase(unittest.TestCase):
    """Sets up `topology_name` once for the class: build() adds to cls.topo what it needs."""

    topology_name = ""
    start_agents = True

    @classmethod
    def topology(cls):
        """What build() adds to."""
        return Topology(cls.topology_name)

    @classmethod
    def build(cls):
        """Adds clusters, pods, services and rules to cls.topo."""
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        try:
            host.prepare()
        except host.HostError as error:
            skip_without(error)
        cls.topo = cls.topology()
        cls.addClassCleanup(cls.topo.down)
        cls.build()
        cls.topo.up()
        if cls.start_agents:
            cls.topo.start_agents()

    def run(self, result=None):
        """Keeps tests apart: an agent that died is started again, peers end with their test.
        Shows the agents' logs with a test that failed, while they are still there."""
        def bad():
            return len(result.failures) + len(result.errors) if result else 0
        if not hasattr(self, "topo"):
            return super().run(result)
        before, started = bad(), len(self.topo.processes)
        self._revive()
        try:
            return super().run(result)
        finally:
            kept = [runner.process for runner in self.topo.runners()]
            kept += [cluster.link.process for cluster in self.topo.clusters if cluster.link]
            if self.topo.authority:
                kept.append(self.topo.authority.process)
            kept += [helper.process for helper in self.topo.helpers]
            for process in self.topo.processes[started:]:
                if process not in kept and process.poll() is None:
                    process.kill()
                    process.wait(timeout=host.PATIENCE)
            if bad() > before:
                for runner in self.topo.runners():
                    print(runner.log_tail(), file=sys.stderr)
                if self.topo.authority:
                    print(self.topo.authority.log(), file=sys.stderr)

    def _revive(self):
        self.start_agents_again(lambda agent: agent.process and not agent.expect_death)

    def start_agents_again(self, which=lambda agent: True):
        """Starts those agents that do not run, whether they ever did or a test ended them."""
        for agent in self.topo.runners():
            if which(agent) and (agent.process is None or agent.process.poll() is not None):
                agent.start()
                agent.wait_ready()

    def setUp(self):
        self._log_starts = {runner: len(runner.log()) for runner in self.topo.runners()}

    def tearDown(self):
        complaints = [line for agent, start in self._log_starts.items()
                      for line in agent.complaints(start)]
        self.assertEqual(complaints, [], "an agent died or a sanitizer spoke")

    def assert_intact(self, result, sent=None, received=None):
        """A peer's report: nothing corrupt, and as many bytes as expected."""
        self.assertEqual(result.get("connect", "ok"), "ok", result)
        self.assertIsNone(result["corrupt_at"], result)
        if sent is not None:
            self.assertEqual(result["sent"], sent, result)
        if received is not None:
            self.assertEqual(result["received"], received, result)

    def assert_done(self, result, **counts):
        """A peer played its whole script."""
        self.assert_intact(result, **counts)
        self.assertEqual(result["at"], "done", result)

    def assert_counted(self, agent, before, *words):
        """A metric whose name and labels contain `words` has grown since `before`."""
        def total(samples):
            return sum(value for sample, value in samples.items()
                       if all(word in sample for word in words))
        host.wait_until(f"a metric of {' '.join(words)} to grow",
                        lambda: total(agent.metrics()) > total(before))

    def assert_logged(self, agent, start, *words):
        """A log line after offset `start` contains all words."""
        host.wait_until(f"{agent.instance} to log {' '.join(words)}",
                        lambda: any(all(word in line for word in words)
                                    for line in agent.log()[start:].splitlines()))


class PairCase(TopologyCase):
    """A client in east, a server in west, and a service that the client may use."""

    PORT = 8080

    @classmethod
    def build(cls):
        cls.east, cls.west = cls.topo.cluster("east"), cls.topo.cluster("west")
        cls.client, cls.server = cls.east.pod("client"), cls.west.pod("server")
        cls.service = cls.topo.service("shop/server", 80, [Endpoint(cls.server, cls.PORT)])
        cls.topo.allow(cls.client, "shop/server")

    def peer(self, mode, *arguments):
        """A client of the service that goes on while the test does."""
        return driver.Peer(self.client, mode, self.service.vip, 80, *arguments)

    def serve(self, script):
        """The service's server; it ends with the test."""
        return driver.serve(self.server, self.PORT, script)

    def echo(self):
        """An echo server as the service's."""
        return driver.echo(self.server, self.PORT)


def main():
    """Runs the module's tests; ctest learns when all of them were skipped."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    ran = result.testsRun - len(result.skipped)
    sys.exit(_SKIPPED if ran <= 0 and result.skipped else 0)
