# SPDX-License-Identifier: Apache-2.0
"""For netns tests inside a guest: says who makes the records, and holds the agents to it.

Four witnesses: `tombolo status` and `tombolo tunnels`, the kernel's own counters of each node's
network namespace, and the packets between the nodes, in which nothing may be in the clear.
"""
import os

from testing import agent, case
from vm.inside import machine, tls_stat
from vm.inside.wire_grep import Grep

MARKER = "in-the-clear-for-everybody-to-see"
# An emulated processor takes longer for SHA-256 than for everything else together. Bytes that
# are lost, doubled or moved do not pass MD5 either.
QUICK_DIGEST = "md5"


class RecordsCase:
    """Goes before a TopologyCase with the clusters east and west."""

    # Cluster -> its agent's records, "kernel" (by `relay: auto`) or "user". A cluster that is not
    # named has no agent.
    records = {"east": "kernel", "west": "kernel"}
    splice = "none"  # what `auto` means, too
    patience = case.PATIENT
    decrypt_errors = False  # True: the test's peers send what does not decrypt

    @classmethod
    def build(cls):
        super().build()
        for cluster in cls.nodes():
            relay = {"relay": "user"} if cls.records[cluster.name] == "user" else {}
            records = relay | {"splice": cls.splice}
            cluster.agent.config = agent.merge(cluster.agent.config, cls.patience | records)

    @classmethod
    def nodes(cls):
        """The clusters with an agent."""
        return [cluster for cluster in cls.topo.clusters if cluster.name in cls.records]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._seen = dict.fromkeys(cls.records, 0)
        cls.remember()
        cls._grep = Grep(cls.east.netns, "link0", MARKER)

    @classmethod
    def remember(cls):
        """From here on the kernel's counters are the test's: the agents' self-tests are over."""
        cls._before = {cluster: tls_stat.read(cluster.netns) for cluster in cls.nodes()}

    def counted(self, cluster):
        """What the kernel has counted in a node's namespace since."""
        return tls_stat.growth(self._before[cluster], tls_stat.read(cluster.netns))

    @classmethod
    def tearDownClass(cls):
        check = cls("test_the_agents_say_so")
        check.judge_wire(cls._grep.stop())
        for cluster in cls.nodes():
            check.judge_kernel(cluster)
            check.assertGreater(cls._seen[cluster.name], 0, f"{cluster.name}: no tunnel was seen")
        super().tearDownClass()

    def tearDown(self):
        for cluster in self.nodes():
            if cluster.agent.process.poll() is None:
                for tunnel in cluster.agent.cli("tunnels")["tunnels"]:
                    self._seen[cluster.name] += 1
                    self.assertEqual(tunnel["records"], self.records[cluster.name], tunnel)
        super().tearDown()

    def judge_wire(self, grep):
        """Nothing in the clear, and nothing overlooked."""
        self.assertEqual((grep.clear[:5], grep.markers), ([], 0), "clear text between the nodes")
        self.assertEqual(grep.drops, 0, f"packets lost of {grep.packets}")
        self.assertGreater(grep.octets, 0)
        print(f"{type(self).__name__}: {grep.octets} bytes in {grep.packets} packets", flush=True)

    def judge_kernel(self, cluster):
        """Both directions in software where the kernel makes records, none elsewhere."""
        counted = self.counted(cluster)
        shown = f"{cluster.name}: {counted}"
        print(f"{cluster.name}: { {name: n for name, n in counted.items() if n} }", flush=True)
        if self.records[cluster.name] == "kernel":
            self.assertGreater(counted["TlsTxSw"], 0, shown)
            self.assertGreater(counted["TlsRxSw"], 0, shown)
        else:
            self.assertEqual(counted["TlsTxSw"] + counted["TlsRxSw"], 0, shown)
        self.assertEqual(counted["TlsTxDevice"] + counted["TlsRxDevice"], 0, shown)
        if not self.decrypt_errors:
            self.assertEqual(counted["TlsDecryptError"], 0, shown)

    def test_the_agents_say_so(self):
        for cluster in self.nodes():
            relay = cluster.agent.cli("status")["relay"]
            wanted = self.records[cluster.name]
            self.assertEqual(relay["records"], wanted, relay)
            if wanted == "kernel":
                self.assertEqual(relay["configured"], "auto")
                works = {check["name"]: check["works"] for check in relay["kernel_tls"]}
                self.assertLessEqual({"splice send", "splice receive", "sockmap exclusion"},
                                     works.keys())
                self.assertEqual(works.pop("rekey"), machine.can_rekey(), relay)
                self.assertEqual([name for name, does in works.items() if not does], [], relay)


class ClearTextTest:
    """Goes before RecordsCase: the packets' judge can see clear text where there is some."""

    def test_clear_text_is_recognised(self):
        inside = Grep(self.server.netns, "lo", MARKER)
        client, server = self.play(f"text:{MARKER},read-text,send:100000,shutdown,recv-eof",
                                   "read-text,text:x,recv-eof")
        inside.stop()
        self.assert_done(client)
        self.assert_done(server, received=100000)
        self.assertEqual(server["text"], MARKER)
        self.assertGreater(inside.markers, 0)
        self.assertGreater(len(inside.clear), 0)


def pipes(node):
    """How many pipes the agent of a cluster has open. A data thread that has spliced keeps some."""
    directory = f"/proc/{node.agent.pid}/fd"
    targets = [os.readlink(f"{directory}/{fd}") for fd in os.listdir(directory)]
    return len({target for target in targets if target.startswith("pipe:")})
