"""What an IVF-PQ index takes on disk, and in memory while it is built.

Each passage has its code and its number; the rest are the centres of the lists and of the codes.
"""

from __future__ import annotations

from stages.params import Ivfpq
from stages.retrieval.dense import BLOCK

NUMBER = 8  # bytes of a passage's number in a list
CENTRE = 4  # bytes of a component
GROWN = 2  # lists grow by doubling


def file_bytes(passages: int, dimension: int, block: Ivfpq) -> int:
    """Of the file, but for a header."""
    centres = (block.lists + 256) * dimension * CENTRE
    return passages * (block.bytes + NUMBER) + centres + block.lists * NUMBER


def build_bytes(passages: int, dimension: int, block: Ivfpq, sample: int) -> int:
    """Of memory that a build takes at most: the lists, grown, the sample it is trained on, and a
    block of the vectors in 32 bits.
    """
    lists = GROWN * passages * (block.bytes + NUMBER)
    return lists + (min(sample, passages) + BLOCK) * dimension * CENTRE
