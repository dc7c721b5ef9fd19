# SPDX-License-Identifier: Apache-2.0
"""The directory in an etcd of three members: one of them dies or hangs, all of them die, they go
back to a backup, they forget what an agent has not seen. Connections go on, and changes arrive."""
import json
import signal

from netns.shared_directory_case import SharedDirectoryCase
from testing import case, driver, host, network, wide


class EtcdMembersTest(SharedDirectoryCase):
    """East has connections to west and south all the time."""

    topology_name = "etcdmembers"
    members = 3

    @classmethod
    def setUpClass(cls):
        case.need("etcdctl")
        super().setUpClass()

    def setUp(self):
        # Whatever a test that failed has left behind.
        for member in self.etcd.members:
            if member.process.poll() is not None:
                member.launch()
        for member in self.etcd.members:
            member.wait_ready()
        self.drain_west(False)
        super().setUp()

    def begin_traffic(self):
        """Connections that stay and connections that come and go; none may fail."""
        self.traffic = driver.Peer(self.client, "traffic", self.vip, 81, 8, 0.2, 20)
        self.traffic.next()

    def traffic_state(self):
        """How much of it there has been."""
        self.traffic.tell()
        return self.traffic.next()

    def see_more_traffic(self):
        """Both kinds get somewhere."""
        before = self.traffic_state()

        def grown():
            now = self.traffic_state()
            return all(now[kind] > before[kind] + 10 for kind in ("short", "beats"))
        host.wait_until("more of both kinds of connections", grown)

    def end_traffic(self):
        """Not one has failed since it began."""
        self.see_more_traffic()
        self.traffic.tell("end")
        self.assertEqual(self.traffic.next()["failures"], [])

    def shared_directory(self):
        """What east's agent says of it."""
        return self.east.agent.cli("status")["shared_directory"]

    def wait_in_sync(self, yes=True):
        """Until east's agent follows etcd, or knows that it does not."""
        host.wait_until(f"in_sync to be {yes}", lambda: self.shared_directory()["in_sync"] == yes)

    def followed(self):
        """The member that tells east's agent what changes."""
        self.wait_in_sync()
        url = self.shared_directory()["endpoint"]
        return next(member for member in self.etcd.members if member.url == url)

    def drain_west(self, yes=True):
        """As an administrator does."""
        self.etcd.command("cluster", "drain" if yes else "undrain", "west")

    def see_west(self, draining):
        """Until east knows."""
        def known():
            west = next(cluster for cluster in self.east.agent.cli("clusters")["clusters"]
                        if cluster["name"] == "west")
            return west["draining"] == draining
        host.wait_until(f"draining of west to be {draining} in east", known)

    def republish_south(self):
        """South's gateways have something else to say."""
        self.weights[self.south] += 1
        self.topo.write_directory()

    def see_south(self):
        """Until east has heard of it."""
        def heard():
            return {endpoint["weight"] for port in self.web().get("ports", [])
                    for endpoint in port["endpoints"] if endpoint["cluster"] == "south"} == {
                        self.weights[self.south]}
        host.wait_until("the news of south in east", heard)

    def change_and_see(self):
        """Of both who may change it: an administrator and a cluster."""
        self.republish_south()
        self.see_south()
        for draining in (True, False):
            self.drain_west(draining)
            self.see_west(draining)

    def test_any_member_may_die(self):
        self.begin_traffic()
        for victim in (self.followed, self.etcd.leader):
            member = victim()
            member.stop()
            self.change_and_see()
            self.assertNotEqual(self.followed(), member)
            member.start()
        self.end_traffic()

    def test_a_member_that_hangs(self):
        self.begin_traffic()
        member = self.followed()
        member.process.send_signal(signal.SIGSTOP)
        self.addCleanup(member.process.send_signal, signal.SIGCONT)
        self.change_and_see()
        self.assertNotEqual(self.followed(), member)
        self.end_traffic()

    def test_everything_goes_on_and_starts_without_etcd(self):
        self.begin_traffic()
        self.etcd.stop()
        self.wait_in_sync(False)
        self.end_traffic()
        for runner in self.topo.runners():
            runner.restart()
        self.assertEqual(self.web_vip(), self.vip)
        self.wait_for_clusters("west", "south")
        self.begin_traffic()
        self.see_more_traffic()
        self.republish_south()
        self.etcd.start()
        self.see_south()
        self.change_and_see()
        self.end_traffic()

    def test_a_backup_takes_its_place(self):
        self.wait_in_sync()
        backup = f"{self.etcd.dir}/backup.db"
        self.etcd.ctl("snapshot", "save", backup, members=self.etcd.members[:1])
        known = json.loads(self.etcd.ctl("snapshot", "status", backup, "--write-out", "json"))
        self.republish_south()
        self.see_south()
        self.drain_west()
        self.see_west(draining=True)
        for number in range(20):
            self.etcd.ctl("put", "/elsewhere", str(number))
        self.begin_traffic()
        # Of now: once it runs again, it counts up while leases end and gateways come back.
        self.assertLess(known["revision"] + 20, self.etcd.revision(), "it goes back in time")
        self.etcd.stop()
        self.etcd.restore(backup)
        self.etcd.start()
        self.see_west(draining=False)
        self.wait_in_sync()
        self.see_south()  # whose gateways have said again what the backup did not know
        self.change_and_see()
        self.end_traffic()

    def cut_east_off(self, yes=True):
        """What east's node sends to etcd gets nowhere, all else does."""
        verb = "add" if yes else "del"
        network.batch(wide.lan_router(self.east),
                      [f"route {verb} blackhole {member.address}" for member in self.etcd.members])

    def test_what_was_compacted_meanwhile(self):
        self.wait_in_sync()
        self.begin_traffic()
        self.cut_east_off()
        # What it has asked before would be answered, however late: those answers are gone.
        self.etcd.stop()
        self.wait_in_sync(False)
        self.etcd.start()
        self.drain_west()
        self.republish_south()
        news = f'"weight":{self.weights[self.south]}'
        host.wait_until("south to publish", lambda: news in self.etcd.get(
            "clusters/south/services/shop/web").replace(" ", ""))
        self.etcd.ctl("compact", str(self.etcd.revision()))
        self.cut_east_off(False)
        self.see_west(draining=True)
        self.see_south()
        self.end_traffic()


if __name__ == "__main__":
    case.main()
