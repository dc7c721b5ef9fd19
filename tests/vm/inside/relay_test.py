# SPDX-License-Identifier: Apache-2.0
"""The relay's tests with records in the kernel, and between the kernel and user space."""
from netns import relay_test
from testing import case
from vm.inside.records_case import QUICK_DIGEST, ClearTextTest, RecordsCase, pipes


class KernelRelayTest(ClearTextTest, RecordsCase, relay_test.RelayTest):
    """Everything, in the kernel on both nodes. Fewer connections at once than on a real
    processor, which does in a second what takes a minute here: see load_test for more of them."""

    DIGEST = QUICK_DIGEST
    MIXED = 40


class KernelIpv6RelayTest(RecordsCase, relay_test.Ipv6RelayTest):
    """IPv6."""


class Few(RecordsCase):
    """What differs most between kernels: bulk, ends, resets, full sockets."""

    play = relay_test.RelayTest.play
    test_upload = relay_test.RelayTest.test_upload
    test_slow_reader_gets_everything = relay_test.RelayTest.test_slow_reader_gets_everything
    test_client_resets = relay_test.RelayTest.test_client_resets
    test_server_resets = relay_test.RelayTest.test_server_resets
    test_server_speaks_first = relay_test.RelayTest.test_server_speaks_first
    test_clients_that_send_and_close_at_once = \
        relay_test.RelayTest.test_clients_that_send_and_close_at_once


class SpliceTest(Few, case.PairCase):
    """Bulk through pipes on both nodes."""

    topology_name = "splice"
    splice = "both"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._pipes = [pipes(cluster) for cluster in cls.topo.clusters]

    @classmethod
    def tearDownClass(cls):
        for cluster, before in zip(cls.topo.clusters, cls._pipes):
            cls("test_upload").assertGreater(pipes(cluster), before, cluster.name)
        super().tearDownClass()


class KernelToUserTest(Few, case.PairCase):
    """The dialer's records in the kernel, the acceptor's in user space."""

    topology_name = "touser"
    records = {"east": "kernel", "west": "user"}


class UserToKernelTest(Few, case.PairCase):
    """The other way round."""

    topology_name = "tokernel"
    records = {"east": "user", "west": "kernel"}


if __name__ == "__main__":
    case.main()
