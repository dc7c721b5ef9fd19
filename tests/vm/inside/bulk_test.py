# SPDX-License-Identifier: Apache-2.0
"""1 GiB through one connection, with records in the kernel on both nodes."""
from netns import relay_test
from testing import case
from vm.inside.records_case import QUICK_DIGEST, RecordsCase


class BulkTest(RecordsCase, case.PairCase):
    """The relay's test, never scaled down."""

    topology_name = "bulk"
    DIGEST, GIGABYTE = QUICK_DIGEST, 1 << 30
    test_curl_of_a_gigabyte = relay_test.RelayTest.test_curl_of_a_gigabyte


if __name__ == "__main__":
    case.main()
