# SPDX-License-Identifier: Apache-2.0
"""What the kernel itself has counted of TLS: /proc/net/tls_stat, a network namespace's own."""
from testing import host, network


def read(netns=None):
    """Counter -> value, of this process's namespace or a named one."""
    def parse():
        # /proc/net is the main thread's namespace, whichever thread asks.
        with open("/proc/thread-self/net/tls_stat", encoding="ascii") as lines:
            return {name: int(value) for name, value in map(str.split, lines)}
    return host.in_netns(network.path(netns), parse) if netns else parse()


def growth(before, after):
    """What has been counted in between."""
    return {name: value - before[name] for name, value in after.items()}
