"""What an IVF-PQ index takes on disk, and in memory and time while it is built.

Each passage has its code and its number; the rest are the centres of the lists and of the codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stages.common.records import read_json
from stages.params import CODES, Ivfpq
from stages.retrieval.dense import BLOCK

NUMBER = 8  # bytes of a passage's number in a list
CENTRE = 4  # bytes of a component
GROWN = 2  # lists grow by doubling
ADDED = 32_768  # vectors that faiss codes at once
PRODUCTS = 32_000_000  # bytes of a block of products with centres, and of what multiplies them
ROUNDS = 10  # of faiss's k-means for lists
MOST_A_LIST = 256  # vectors of the sample that faiss takes for each list, or code


def file_bytes(passages: int, dimension: int, block: Ivfpq) -> int:
    """Of the file, but for a header."""
    centres = (block.lists + CODES) * dimension * CENTRE
    return passages * (block.bytes + NUMBER) + centres + block.lists * NUMBER


def build_bytes(passages: int, dimension: int, block: Ivfpq, sample: int) -> int:
    """Of memory that a build takes at most, while it trains or while it adds.

    Training holds the sample in 32 bits, and of as many vectors as codes are trained on what is
    left of them; adding holds the lists, grown, and a block of the vectors.
    """
    vector = dimension * CENTRE
    sample = min(sample, passages)
    training = (sample + min(sample, MOST_A_LIST * CODES)) * vector
    adding = GROWN * passages * (block.bytes + NUMBER) + (BLOCK + ADDED) * vector
    return max(training, adding) + PRODUCTS


def add_operations(dimension: int, block: Ivfpq) -> int:
    """Products that adding a passage takes: its vector is compared with the centres of all lists,
    and coded.
    """
    return (block.lists + CODES) * dimension


def train_operations(dimension: int, block: Ivfpq, sample: int) -> int:
    """Products that training takes: rounds in which the sample is compared with all centres."""
    return ROUNDS * min(sample, MOST_A_LIST * block.lists) * block.lists * dimension


@dataclass(frozen=True)
class Speed:
    """Seconds a product of vectors and centres on one core, where builds were measured."""

    training: float
    adding: float
    machine: str

    @classmethod
    def read(cls, metrics: Path) -> Speed | None:
        """From the first build of `metrics`/benchmarks/ivfpq.json; None where there is no such
        file."""
        file = metrics / "benchmarks" / "ivfpq.json"
        if not file.exists():
            return None
        told = read_json(file)
        first, dimension = told["builds"][0], told["dimension"]
        block = Ivfpq(lists=first["lists"], bytes=told["bytes"])
        sample = min(told["sample"], first["passages"])
        return cls(
            first["train_seconds"] / train_operations(dimension, block, sample),
            first["add_seconds"] / first["passages"] / add_operations(dimension, block),
            told["machine"],
        )

    def train_hours(self, dimension: int, block: Ivfpq, sample: int) -> float:
        """Of training on `sample` vectors."""
        return self.training * train_operations(dimension, block, sample) / 3600

    def add_hours(self, passages: int, dimension: int, block: Ivfpq) -> float:
        """Of adding all passages."""
        return self.adding * passages * add_operations(dimension, block) / 3600
