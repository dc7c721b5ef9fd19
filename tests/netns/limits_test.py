# SPDX-License-Identifier: Apache-2.0
"""What one workload, one peer or one stranger may hold, and what happens without descriptors."""
import os
import resource
import select
import shutil
import socket
import time

from testing import case, driver, host, network
from testing.topology import TUNNEL_PORT, Endpoint


def ended(sockets, seconds=1.0, enough=None):
    """Those of `sockets` that the other side has ended by a reset within `seconds`, or until there
    are `enough`."""
    poll, found = select.poll(), []
    by_fd = {sock.fileno(): sock for sock in sockets}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    deadline = time.monotonic() + seconds
    while by_fd and len(found) != enough and (left := deadline - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            poll.unregister(fd)
            sock = by_fd.pop(fd)
            try:
                sock.recv(1)
            except ConnectionResetError:
                found.append(sock)
    return found


def close(sockets):
    """All of them."""
    for sock in sockets:
        sock.close()


class LimitCase(case.PairCase):
    """A second client, a stranger's node, and an echo server."""

    @classmethod
    def build(cls):
        super().build()
        cls.north = cls.topo.cluster("north")
        cls.other = cls.east.pod("other")
        cls.topo.allow(cls.other, "shop/server")

    def setUp(self):
        super().setUp()
        self.server_process = self.echo()

    def tearDown(self):
        self.server_process.kill()
        super().tearDown()

    def dial_raw(self, netns, address, count):
        """TCP connections from a network namespace that say nothing."""
        def connect():
            sockets = [socket.socket() for _ in range(count)]
            for sock in sockets:
                # Without waiting: a reset may be quicker than a connect() that waits.
                sock.setblocking(False)
                sock.connect_ex(address)
            return sockets
        sockets = host.in_netns(network.path(netns), connect)
        self.addCleanup(close, sockets)
        return sockets

    def hold(self, count, client=None, opened=None):
        """`count` connections, of which `opened` (all) come to be."""
        peer = driver.Peer(client or self.client, "hold", self.service.vip, 80, count)
        self.assertEqual(peer.next()["open"], count if opened is None else opened)
        return peer

    def let_go(self, peer, alive):
        """Ends what hold() began."""
        peer.tell()
        self.assertEqual(peer.next()["alive"], alive)

    def assert_served(self, client=None):
        """One connection works from beginning to end."""
        self.assert_done(driver.connect(client or self.client, self.service.vip, 80,
                                        "send:10,shutdown,sleep:0.1"), sent=10)

    def assert_reset(self):
        """One connection is reset, and soon."""
        result = driver.connect(self.client, self.service.vip, 80, "recv-eof")
        self.assertEqual(result["end"], "reset", result)
        self.assertLess(result["seconds"], 3)


class ConnectionLimitTest(LimitCase):
    """limits.connections_per_workload."""

    topology_name = "connlimit"

    @classmethod
    def build(cls):
        super().build()
        cls.east.agent.config = {"limits": {"connections_per_workload": 3}}

    def test_a_workload_at_its_limit(self):
        agent = self.east.agent
        running = self.hold(3)
        before, start = agent.metrics(), len(agent.log())
        self.assert_reset()
        self.assert_counted(agent, before, 'role="dialer"', 'reason="connection_limit"')
        self.assert_logged(agent, start, "connection refused", self.client.id,
                           "limits.connections_per_workload", "has 3 already")
        self.let_go(self.hold(3, self.other), 3)
        self.let_go(running, 3)
        host.wait_until("the connections to end", lambda: not agent.connections(self.client))
        self.assert_served()

    def test_raised_without_a_restart(self):
        agent = self.east.agent
        running = self.hold(3)
        agent.config = {"limits": {"connections_per_workload": 5}}
        agent.write_config()
        self.addCleanup(agent.write_config)
        self.addCleanup(agent.config.update, {"limits": {"connections_per_workload": 3}})

        def served():
            result = driver.connect(self.client, self.service.vip, 80, "send:1,shutdown,recv-eof")
            return result["end"] == "eof"
        host.wait_until("the new limit to hold", served)
        self.let_go(running, 3)


class TunnelLimitTest(LimitCase):
    """limits.tunnels_per_peer."""

    topology_name = "tunnellimit"

    @classmethod
    def build(cls):
        super().build()
        cls.west.agent.config = {"limits": {"tunnels_per_peer": 3}}

    def test_a_peer_at_its_limit(self):
        east, west = self.east.agent, self.west.agent
        running = self.hold(3)
        before, starts = west.metrics(), (len(east.log()), len(west.log()))
        self.assert_reset()
        self.assert_counted(west, before, 'role="acceptor"', 'reason="tunnel_limit"')
        words = ("limits.tunnels_per_peer", self.client.id, "has 3 already")
        self.assert_logged(west, starts[1], "tunnel refused", *words)
        self.assert_logged(east, starts[0], "connection refused", "said goodbye", *words)
        self.let_go(self.hold(2, self.other), 2)
        self.let_go(running, 3)
        self.assert_served()


class HandshakeLimitTest(LimitCase):
    """limits.handshakes and limits.handshakes_per_address: strangers that say nothing."""

    topology_name = "shakelimit"

    @classmethod
    def build(cls):
        super().build()
        cls.west.agent.config = {"limits": {"handshakes": 6, "handshakes_per_address": 4},
                                 "deadlines": {"handshake": "20s"}}

    def test_one_address_and_all_of_them(self):
        agent, address = self.west.agent, (self.west.ip, TUNNEL_PORT)
        before, start = agent.metrics(), len(agent.log())
        strangers = self.dial_raw(self.north.netns, address, 7)
        self.assertEqual(len(ended(strangers, 5, enough=3)), 3)
        self.assert_counted(agent, before, 'role="acceptor"', 'reason="handshake_limit"')
        self.assert_logged(agent, start, "limits.handshakes_per_address", "has 4 already")
        self.assert_served()

        strangers += self.dial_raw(self.west.netns, address, 2)
        self.assertEqual(ended(strangers[-2:]), [])
        start = len(agent.log())
        self.assertEqual(len(ended(self.dial_raw(self.west.netns, address, 1), 5)), 1)
        self.assert_logged(agent, start, "limits.handshakes:", "has 6 already")
        close(strangers)
        host.wait_until("handshakes to be free again", lambda: not ended(
            self.dial_raw(self.north.netns, address, 1), 0.2))
        self.assert_served(self.other)


class DescriptorTest(LimitCase):
    """An agent without descriptors refuses at once, keeps what runs, and recovers."""

    topology_name = "descriptors"

    @classmethod
    def build(cls):
        super().build()
        for cluster in (cls.east, cls.west):
            # Strangers stay for as long as the test wants.
            cluster.agent.config = {"deadlines": {"handshake": "5m"}, "threads": 2}

    def exhaust(self, cluster):
        """Lowers the agent's limit, and takes what is left with silent connections."""
        agent = cluster.agent
        limits = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE)
        self.addCleanup(resource.prlimit, agent.pid, resource.RLIMIT_NOFILE, limits)
        highest = max(map(int, os.listdir(f"/proc/{agent.pid}/fd")))
        resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (highest + 10, limits[1]))
        strangers = self.dial_raw(cluster.netns, (cluster.ip, TUNNEL_PORT), 40)
        self.assertTrue(ended(strangers, 2), "nobody is refused")
        return strangers

    def cpu_seconds(self, cluster):
        """What the agent has used so far."""
        with open(f"/proc/{cluster.agent.pid}/stat", encoding="ascii") as stat:
            user, system = stat.read().rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def exhaust_and_recover(self, cluster, role):
        """Checks `cluster`'s agent, whose part in the connections is `role`."""
        agent = cluster.agent
        running = self.hold(5)
        before, start = agent.metrics(), len(agent.log())
        strangers = self.exhaust(cluster)
        for _ in range(5):
            self.assert_reset()

        def all_refused():
            # A descriptor that the agent had for a moment, for a file, may be free since.
            strangers.extend(self.dial_raw(cluster.netns, (cluster.ip, TUNNEL_PORT), 10))
            return len(ended(strangers[-10:], 5)) == 10
        host.wait_until("strangers not to wait in the queue", all_refused)
        used = self.cpu_seconds(cluster)
        time.sleep(2)
        self.assertLess(self.cpu_seconds(cluster) - used, 0.5, "it spins")
        self.assert_logged(agent, start, "refused", "accept: Too many open files")
        close(strangers)
        self.let_go(running, 5)
        host.wait_until("the agent to answer", agent.status_or_none)
        self.assert_counted(agent, before, f'role="{role}"', 'reason="resources"')
        self.assert_served()
        self.assert_served(self.other)
        self.assertEqual(agent.cli("status")["not_ready"], [])

    def test_the_dialing_agent(self):
        self.exhaust_and_recover(self.east, "dialer")

    def test_the_accepting_agent(self):
        self.exhaust_and_recover(self.west, "acceptor")


class LogTest(LimitCase):
    """What is refused is told in words that help, and a flood of it does not flood the log."""

    topology_name = "limitlog"

    def flood(self, count):
        """Connections to the listener that no hook has sent."""
        def one_by_one():
            for _ in range(count):
                with socket.socket() as sock:
                    sock.connect_ex(("127.0.0.1", 15001))
        host.in_netns(network.path(self.client.netns), one_by_one)

    def test_not_captured(self):
        agent = self.east.agent
        before, start, count = agent.metrics(), len(agent.log()), 400
        sample = 'tombolo_connections_refused_total{role="dialer",reason="not_captured"}'
        self.flood(count)
        host.wait_until("all to be counted",
                        lambda: agent.metrics()[sample] >= before[sample] + count)
        lines = [line for line in agent.log()[start:].splitlines() if "not_captured" in line]
        self.assertLess(len(lines), count / 2)
        for word in (f"netns={network.path(self.client.netns)}", f"workload={self.client.workload}",
                     "client=127.0.0.1:", "local=127.0.0.1:15001"):
            self.assertIn(word, lines[0])
        time.sleep(1)
        self.flood(1)
        self.assert_logged(agent, start, "not_captured", "suppressed=")

    def test_a_bad_svid_is_named_where_it_is_missed_and_logged_once(self):
        west, svid = self.west.agent, f"{self.west.agent.svid_dir(self.server)}/svid.pem"
        shutil.copy(svid, svid + ".good")
        os.unlink(svid)
        west.restart()
        try:
            start = len(west.log())
            self.assert_reset()
            self.assert_logged(west, start, "tunnel refused", "unknown_name", self.server.id,
                               "no credentials for SNI", "was never loaded", "svid.pem")
            version = west.cli("status")["snapshot"]["version"]
            self.topo.write_directory()
            host.wait_until("the directory to be taken", lambda: west.cli("status")["snapshot"][
                "version"] > version)
            self.assertNotIn("SVID not usable", west.log()[start:])
        finally:
            os.rename(svid + ".good", svid)
        host.wait_until("the SVID to be taken", lambda: not any(
            entry["error"] for entry in west.cli("status")["identities"]))
        self.assert_served()

    def test_a_client_without_an_svid(self):
        east, directory = self.east.agent, self.east.agent.svid_dir(self.other)
        os.rename(f"{directory}/key.pem", f"{directory}/key.kept")
        east.restart()
        try:
            start = len(east.log())
            result = driver.connect(self.other, self.service.vip, 80, "recv-eof")
            self.assertEqual(result["end"], "reset", result)
            self.assert_logged(east, start, "no_credentials", "was never loaded", "key.pem")
        finally:
            os.rename(f"{directory}/key.kept", f"{directory}/key.pem")

    def test_a_routing_id_that_nobody_has(self):
        """East's directory says that the service is here; west's does not know it."""
        west = self.west.agent
        self.west.own_directory = True
        west.write_config()
        content = self.topo.directory()
        content["services"], content["allow"] = [], []
        self.topo.write_directory(content, self.west)
        west.restart()
        start = len(west.log())
        self.assert_reset()
        self.assert_logged(west, start, "unknown_name", "no endpoint on this node")
        self.topo.write_directory(cluster=self.west)
        host.wait_until("the directory to be taken", lambda: west.cli("services")["services"])
        self.assert_served()


if __name__ == "__main__":
    case.main()
