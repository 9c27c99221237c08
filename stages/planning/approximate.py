"""What an IVF-PQ index takes on disk, and in memory while it is built.

Each passage has its code and its number; the rest are the centres of the lists and of the codes.
"""

from __future__ import annotations

from stages.params import CODES, Ivfpq
from stages.retrieval.dense import BLOCK

NUMBER = 8  # bytes of a passage's number in a list
CENTRE = 4  # bytes of a component
GROWN = 2  # lists grow by doubling
ROUNDS = 10  # of faiss's k-means for lists
MOST_A_LIST = 256  # vectors of the sample that faiss takes for each list


def file_bytes(passages: int, dimension: int, block: Ivfpq) -> int:
    """Of the file, but for a header."""
    centres = (block.lists + CODES) * dimension * CENTRE
    return passages * (block.bytes + NUMBER) + centres + block.lists * NUMBER


def build_bytes(passages: int, dimension: int, block: Ivfpq, sample: int) -> int:
    """Of memory that a build takes at most: the lists, grown, the sample it is trained on, and a
    block of the vectors in 32 bits.
    """
    lists = GROWN * passages * (block.bytes + NUMBER)
    return lists + (min(sample, passages) + BLOCK) * dimension * CENTRE


def add_operations(dimension: int, block: Ivfpq) -> int:
    """Products that adding a passage takes: its vector is compared with the centres of all lists,
    and coded.
    """
    return (block.lists + CODES) * dimension


def train_operations(dimension: int, block: Ivfpq, sample: int) -> int:
    """Products that training takes: rounds in which the sample is compared with all centres."""
    return ROUNDS * min(sample, MOST_A_LIST * block.lists) * block.lists * dimension
