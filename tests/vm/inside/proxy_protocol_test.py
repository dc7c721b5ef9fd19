# SPDX-License-Identifier: Apache-2.0
"""The PROXY protocol's header before what the kernel moves."""
from netns import proxy_protocol_test
from testing import case
from vm.inside.records_case import RecordsCase


class KernelProxyProtocolTest(RecordsCase, proxy_protocol_test.ProxyProtocolTest):
    """Byte for byte. Guests have no nginx and no HAProxy."""

    test_nginx = test_haproxy = None


if __name__ == "__main__":
    case.main()
