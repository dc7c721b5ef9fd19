# SPDX-License-Identifier: Apache-2.0
"""What becomes of an endpoint and of a node whose connections fail again and again, as the agent in
front of a client sees them."""
from netns.clusters_test import PORT, ClustersCase
from testing import case, driver, host

IN_A_ROW = 5  # failures that eject: userspace/balance/health.h


class EjectionTest(ClustersCase):
    """A pod beside the client alone serves shop/alone, and shop/twice with one on the other node."""

    topology_name = "ejection"

    @classmethod
    def build(cls):
        super().build()
        cls.other = cls.east.pod("other")
        cls.other.service_account = "server"
        cls.service("shop/alone", cls.other)
        cls.service("shop/twice", cls.other, cls.local)

    def setUp(self):
        super().setUp()
        good, = self.name_servers(self.other)

        def well():
            return self.ask("alone") == "other" and not self.endpoint("alone", self.other)["ejected"]
        host.wait_until("it to be in use", well)
        self.east.agent.wait_no_connections()  # an answer counts when its connection has ended
        good.kill()
        self.before = self.held_against("alone")

    def endpoint(self, service, pod):
        """An endpoint as the client's node sees it."""
        found, = [endpoint for one in self.east.agent.cli("services")["services"]
                  if one["name"] == f"shop/{service}" for port in one["ports"]
                  for endpoint in port["endpoints"] if endpoint["workload"] == pod.workload]
        return found

    def held_against(self, service):
        """How many attempts have been held against where they went."""
        return sum(value for sample, value in self.east.agent.metrics().items()
                   if sample.startswith("tombolo_service_attempts_failed_total")
                   and f'service="shop/{service}"' in sample)

    def failures_until_ejected(self):
        """How many it takes, each of which counts."""
        number = 0
        while not self.endpoint("alone", self.other)["ejected"]:
            self.assertLess(number, IN_A_ROW * IN_A_ROW)
            self.assertEqual(self.ask("alone"), "reset")
            number += 1
            host.wait_until("it to be held against the endpoint", lambda n=number:
                            self.held_against("alone") == self.before + n)
        return number

    def test_an_endpoint_that_nobody_listens_at(self):
        self.assertEqual(self.failures_until_ejected(), IN_A_ROW)

    def test_an_endpoint_that_resets_before_its_first_byte(self):
        driver.serve(self.other, PORT, "reset")
        # A reset that is quicker than connect() is another kind of failure: of either so many.
        self.assertGreaterEqual(self.failures_until_ejected(), IN_A_ROW)

    def test_resets_after_the_first_byte_say_nothing(self):
        server = driver.serve(self.other, PORT, "text:other,recv-eof,reset")
        for _ in range(2 * IN_A_ROW):
            self.assertEqual(self.ask("alone"), "other")
            self.assertEqual(server.next()["at"], "done")
        self.east.agent.wait_no_connections()
        self.assertEqual(self.held_against("alone"), self.before)
        self.assertFalse(self.endpoint("alone", self.other)["ejected"])

    def test_an_application_that_resets_says_nothing(self):
        driver.serve(self.other, PORT, "recv-eof")
        for _ in range(2 * IN_A_ROW):
            driver.connect(self.client, self.vip("alone"), 80, "send:10,reset")
        self.east.agent.wait_no_connections()
        self.assertEqual(self.held_against("alone"), self.before)
        self.assertFalse(self.endpoint("alone", self.other)["ejected"])

    def test_a_node_that_nobody_answers_for(self):
        """The way there is what fails, not the endpoint: the agent is gone, the server is well."""
        self.name_servers(self.other, self.local)
        self.east.nodes[1].agent.kill()
        self.addCleanup(self.start_agents_again)

        def way():
            own, = [one for one in self.east.agent.cli("clusters")["clusters"] if one["own"]]
            return next(one for one in own["ways"] if one["name"] == self.east.nodes[1].node)

        def gone():
            self.assertEqual(self.ask("twice"), "other")
            return way()["ejected"]
        host.wait_until("the way to be ejected", gone)
        self.assertFalse(self.endpoint("twice", self.local)["ejected"])


if __name__ == "__main__":
    case.main()
