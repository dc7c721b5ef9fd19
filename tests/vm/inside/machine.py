# SPDX-License-Identifier: Apache-2.0
"""What is known of the guest's kernel by its version, to be compared with what tests find."""
import os
import re


def version():
    """(6, 12) of "6.12.117+deb13-cloud-amd64"."""
    return tuple(int(part) for part in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())


def can_rekey():
    """Kernel TLS changes keys since Linux 6.14."""
    return version() >= (6, 14)
