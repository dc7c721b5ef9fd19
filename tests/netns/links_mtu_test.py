# SPDX-License-Identifier: Apache-2.0
"""Links over a path that carries 1280 bytes and says nothing of what it drops."""
from netns.links_case import LinksCase
from testing import case


class SmallMtuTest(LinksCase):
    """That path is the private cluster's: control connections and spares have to fit it."""

    topology_name = "linkmtu"

    @classmethod
    def build(cls):
        super().build()
        cls.south.link.shape = (1, 0, 1280, 0, 1)

    def test_bulk_into_a_private_cluster_and_out_of_it(self):
        self.exchange("south", ("west",), sizes=(150000,))
        self.exchange("west", ("south",), sizes=(150000,))


if __name__ == "__main__":
    case.main()
