# SPDX-License-Identifier: Apache-2.0
"""Agents that have their identities from a running certificate authority."""
import os
import stat

from testing import case, host, network
from testing.authority import PORT

TTL = 20  # seconds


class AuthorityTest(case.PairCase):
    """Two clusters whose agents join: east's by a join token, west's by that of its pod."""

    topology_name = "authority"

    @classmethod
    def build(cls):
        super().build()
        cls.authority = cls.topo.use_authority(ttl=f"{TTL}s", kubernetes=["west"])

    def identities(self, cluster):
        """What the agent says: its authority, and its SVIDs by SPIFFE ID."""
        shown = cluster.agent.cli("identities")
        return shown["authority"], {entry["id"]: entry for entry in shown["identities"]}

    def serial(self, pod):
        """Of the SVID that a workload has now."""
        return self.identities(pod.cluster)[1][pod.id].get("serial")

    def hold(self):
        """A connection through both agents to the echo server that runs."""
        peer = self.peer("hold", 1)
        self.assertEqual(peer.next(), {"open": 1, "failures": []})
        return peer

    def end(self, peer):
        """It still carries bytes, to the end."""
        peer.tell()
        self.assertEqual(peer.next(), {"alive": 1, "failures": []})

    def wait_renewed(self, pod, before):
        """Waits for another SVID than the one with that serial number."""
        host.wait_until("another SVID", lambda: self.serial(pod) not in (None, before))

    def test_traffic_flows_and_the_agents_say_who_vouches(self):
        self.echo()
        self.end(self.hold())
        for pod in (self.client, self.server):
            authority, entries = self.identities(pod.cluster)
            self.assertTrue(authority["reachable"])
            self.assertGreaterEqual(authority["bundle_sequence"], 1)
            self.assertEqual(set(entries), {pod.id})
            self.assertEqual(entries[pod.id]["error"], "")
        sequences = {self.identities(cluster)[0]["bundle_sequence"]
                     for cluster in self.topo.clusters}
        self.assertEqual(len(sequences), 1, "every node holds the same trust bundle")

    def test_segments_fit_every_path_to_the_authority(self):
        def told():  # a connection that asks for news, which may have just been made again
            return network.sockets(self.west.netns, "dport", "=", f":{PORT}")
        for line in host.wait_until("a connection", told):
            self.assertRegex(line, r" advmss:12(08|20) ")  # without, or with, time stamps

    def test_svids_renew_under_a_connection(self):
        self.echo()
        running = self.hold()
        for _ in range(2):
            for pod in (self.client, self.server):
                self.wait_renewed(pod, self.serial(pod))
            self.end(self.hold())
        self.end(running)

    def test_the_authority_may_be_away(self):
        pods = (self.client, self.server)
        self.echo()
        self.authority.stop()
        host.wait_until("the agent to notice",
                        lambda: not self.identities(self.east)[0]["reachable"])
        self.assertTrue(self.east.agent.status_or_none()["ready"])
        host.wait_until("a renewal to fail", lambda: any(
            self.identities(pod.cluster)[1][pod.id]["failures"] for pod in pods))
        failed = next(pod for pod in pods if self.identities(pod.cluster)[1][pod.id]["failures"])
        metrics = failed.cluster.agent.metrics()
        label = f'{{id="{failed.id}"}}'
        self.assertGreaterEqual(metrics["tombolo_svid_renewal_failures_total" + label], 1)
        left = metrics["tombolo_svid_expires_in_seconds" + label]
        self.assertTrue(0 < left < TTL, left)
        self.end(self.hold())
        before = {pod: self.serial(pod) for pod in pods}
        self.authority.start()
        for pod in pods:
            self.wait_renewed(pod, before[pod])
        self.end(self.hold())

    def test_a_restart_needs_no_second_token(self):
        state = os.stat(f"{self.east.dir}/state/node.pem")
        self.assertEqual(stat.S_IMODE(state.st_mode), 0o600)
        self.echo()
        self.east.agent.restart()
        self.end(self.hold())


if __name__ == "__main__":
    case.main()
