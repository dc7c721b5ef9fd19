# SPDX-License-Identifier: Apache-2.0
"""A rehearsal of what an operator will do to a running authority, under traffic that never stops.

Leaves live for a minute. The authority is away for longer than half of that, the root is rotated
end to end, an agent is started again while the authorities change, a workload is revoked: nobody
but the revoked one loses a connection.
"""
import datetime
import json
import re
import threading
import time

from testing import case, driver, host
from testing.topology import Endpoint

TTL = 60  # seconds
LONG, BEAT, RATE = case.scaled(50, 5), 0.2, case.scaled(20, 2)
# From the command's return, for an authority, two agents and a kernel; more where a sanitizer
# makes each of them slower.
GONE_WITHIN = 2.0 if case.SCALE == 1 else 10.0


class Stalls(threading.Thread):
    """What a busy machine takes from a thread that only wants to sleep, in seconds."""

    TICK = 0.005

    def __init__(self):
        super().__init__(daemon=True)
        self.total, self._stop_asked = 0.0, threading.Event()

    def run(self):
        while not self._stop_asked.is_set():
            begun = time.monotonic()
            time.sleep(self.TICK)
            self.total += time.monotonic() - begun - self.TICK

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._stop_asked.set()
        self.join()


class Stream:
    """Traffic from a pod to a service; see traffic.py."""

    def __init__(self, pod, service):
        self.pod = pod
        self._peer = driver.Peer(pod, "traffic", service.vip, 80, LONG, BEAT, RATE)
        self._peer.next()

    def state(self):
        """How it goes."""
        self._peer.tell()
        return self._peer.next()

    def end(self):
        """The last state: every connection has been ended in order."""
        self._peer.tell("end")
        return self._peer.next()


class RehearsalTest(case.TopologyCase):
    """East and west talk both ways; north's agent is the one that is started again."""

    topology_name = "rehearsal"

    @classmethod
    def build(cls):
        cls.east, cls.west = cls.topo.cluster("east"), cls.topo.cluster("west")
        cls.north = cls.topo.cluster("north")
        cls.doomed = cls.east.pod("doomed")
        cls.clients = [cluster.pod("client") for cluster in cls.topo.clusters]
        servers = [cluster.pod("server") for cluster in (cls.east, cls.west)]
        cls.in_east, cls.in_west = (
            cls.topo.service(f"shop/{pod.cluster.name}", 80, [Endpoint(pod, 8080)])
            for pod in servers)
        cls.servers = servers
        for pod in (*cls.clients, cls.doomed):
            for service in (cls.in_east, cls.in_west):
                cls.topo.allow(pod, service.name)
        for cluster in cls.topo.clusters:
            cluster.agent.config = case.PATIENT
        cls.authority = cls.topo.use_authority(ttl=f"{TTL}s")

    @staticmethod
    def svids(cluster):
        """The agent's own SVID and its workloads', by SPIFFE ID."""
        shown = cluster.agent.cli("identities")
        node = shown["authority"]["node"]
        return {entry["id"]: entry for entry in [node, *shown["identities"]]}

    def serials(self):
        """Of all agents' SVIDs."""
        return {id: entry.get("serial", "") for cluster in self.topo.clusters
                for id, entry in self.svids(cluster).items()}

    def wait_renewed(self, but=()):
        """Waits until every SVID is another one than now."""
        before = self.serials()

        def all_renewed():
            now = self.serials()
            return all(now[id] not in ("", serial) for id, serial in before.items()
                       if id not in but)
        host.wait_until("every SVID to be renewed", all_renewed, TTL, 0.2)

    def least_left(self):
        """Seconds until the first of all SVIDs expires."""
        ends = [datetime.datetime.fromisoformat(entry["not_after"]).timestamp()
                for cluster in self.topo.clusters for entry in self.svids(cluster).values()]
        return min(ends) - time.time()

    def assert_none(self, failures, stream):
        """No connection of a stream has failed. Agents say why, and log more once this has."""
        if failures:
            ago = [[round(time.monotonic() - when, 3), *rest] for when, *rest in failures]
            self.fail(f"{stream.pod.id}, seconds ago: {ago}\n" + "\n".join(
                line for cluster in self.topo.clusters
                for line in cluster.agent.log().splitlines()
                if re.search("connection .*(reset|refused)|tunnel (ended|refused)", line)))

    def assert_whole(self, *streams):
        """Not one connection has failed so far, and messages keep coming and going."""
        for stream in streams:
            before = stream.state()
            host.wait_until("traffic to go on", lambda s=stream, b=before: min(
                s.state()[kind] - b[kind] for kind in ("beats", "short")) > 0)
            state = stream.state()
            self.assert_none(state["failures"], stream)
            self.assertEqual(state["long"], LONG, stream.pod.id)

    def test_rehearsal(self):
        for pod in self.servers:
            driver.echo(pod, 8080)
        east, west, _ = self.clients
        doomed = Stream(self.doomed, self.in_west)
        streams = [Stream(east, self.in_west), Stream(west, self.in_east)]
        for step in (self.outage, self.rotation):
            step()
            self.assert_whole(doomed, *streams)
        self.revocation(doomed)
        self.wait_renewed(but=[self.doomed.id])
        self.assert_whole(*streams)
        for stream in streams:
            state = stream.end()
            self.assert_none(state["failures"], stream)
            self.assertGreater(state["short"], 0)
        self.assertIn("intact: ", self.authority.command("audit", "verify"))

    def outage(self):
        """The authority is away for longer than half of a life."""
        host.wait_until("every SVID to be young", lambda: self.least_left() > TTL * 3 / 4, 5 * TTL)
        self.authority.stop()
        begun = time.monotonic()
        for cluster in self.topo.clusters:
            host.wait_until(f"a renewal in {cluster.name} to fail", lambda c=cluster: any(
                entry["failures"] for entry in self.svids(c).values()), TTL)
        time.sleep(max(0.0, begun + TTL / 2 + 1 - time.monotonic()))
        self.authority.start()
        self.wait_renewed()

    def root(self, *arguments):
        """What a step of the rotation says; None while it waits for somebody."""
        try:
            return self.authority.command("root", *arguments)
        except host.HostError as error:
            if "--force" not in str(error):
                raise
            self.waited_for = str(error)
            return None

    def take(self, step):
        """The next step of the rotation, as soon as it is not refused any longer."""
        host.wait_until(f"root {step}", lambda: self.root(step), 2 * TTL, 0.2)

    def roots(self):
        """The roots by their states."""
        shown = json.loads(self.authority.command("root", "status", "--json"))
        return {root["state"]: root["id"] for root in shown["roots"]}

    def rotation(self):
        """Another root, while one agent is away now and then."""
        old = self.roots()["active"]
        self.north.agent.stop()
        self.take("prepare")
        self.assertIsNone(self.root("activate"), "north does not hold the prepared bundle")
        self.assertIn("north/north-1", self.waited_for)
        self.north.agent.start()
        host.wait_until("nothing to wait for", lambda: "nothing would break" in self.authority.
                        command("root", "activate", "--dry-run"), TTL, 0.2)
        self.north.agent.stop()
        self.take("activate")
        self.north.agent.start()
        self.north.agent.wait_ready()
        self.take("taint")
        self.take("revoke")
        left = self.roots()
        self.assertEqual(set(left), {"active"})
        self.assertNotEqual(left["active"], old)
        # North has come back to another authority than it had left.
        result = driver.connect(self.clients[2], self.in_east.vip, 80, "text:x,read-text")
        self.assertEqual(result.get("text"), "x", result)

    def revocation(self, stream):
        """One workload: what it has is gone, and it gets nothing more."""
        with Stalls() as stalls:
            self.authority.command("revoke", "workload", self.doomed.id, "--reason", "rehearsal")
            returned = time.monotonic()
            host.wait_until("the revoked connections to end",
                            lambda: stream.state()["long"] == 0)
        after = stream.state()
        ends = [when for when, kind, _ in after["failures"] if kind == "long"]
        self.assertEqual(len(ends), LONG)
        self.assertLessEqual(max(ends) - returned - stalls.total, GONE_WITHIN)
        host.wait_until("new connections to fail", lambda: len(
            stream.state()["failures"]) >= len(after["failures"]) + 5)
        self.assertEqual(stream.state()["short"], after["short"], "a new connection was let in")
        for cluster in (self.east, self.west):
            tunnels = cluster.agent.cli("tunnels")["tunnels"]
            self.assertEqual([tunnel for tunnel in tunnels if self.doomed.id in
                              (tunnel["local_id"], tunnel["peer_id"])], [])
        self.assertIn("revoked", self.svids(self.east)[self.doomed.id]["error"])
        # Its node asks for it. Roots have changed since; who answers is not the question.
        status, reason = self.authority.enrol(
            self.east, self.doomed.id, "-k", "--cert", f"{self.east.dir}/state/node.pem")
        self.assertEqual((status, "revoked" in reason), (403, True), reason)


if __name__ == "__main__":
    case.main()
