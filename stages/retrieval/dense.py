"""Exact search over a memory-mapped array of unit vectors, in blocks, on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.indexing.store import VECTORS
from stages.plumbing.errors import InputError
from stages.retrieval.ranking import near_best, rescored

BLOCK = 65_536  # vectors compared with the queries at once
QUERIES = 256  # queries compared with a block at once
MARGIN = 1e-4  # above any rounding error of a float32 product of unit vectors


class DenseIndex:
    """Inner product search over vectors, in place."""

    def __init__(self, vectors: np.ndarray):
        """`vectors`: (passages, dimension), float32 or float16."""
        self.vectors = vectors

    def search(self, queries: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each query, (positions, scores) of the `k` nearest passages, best first.

        Scores and ties: see stages/retrieval/ranking.py.
        """
        found = []
        for first in range(0, len(queries), QUERIES):
            found += self._search(queries[first : first + QUERIES], min(k, len(self.vectors)))
        return found

    def _search(self, queries: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        candidates = [np.empty(0, dtype=np.int64) for _ in queries]
        scores = [np.empty(0, dtype=np.float32) for _ in queries]
        for start in range(0, len(self.vectors), BLOCK):
            block = np.asarray(self.vectors[start : start + BLOCK], dtype=np.float32)
            for i, row in enumerate(queries @ block.T):  # row: (block,)
                places, values = near_best(row, k, MARGIN)
                candidates[i] = np.concatenate([candidates[i], places + start])
                scores[i] = np.concatenate([scores[i], values])
                kept, scores[i] = near_best(scores[i], k, MARGIN)
                candidates[i] = candidates[i][kept]
        return [rescored(self.vectors, q, places, k) for q, places in zip(queries, candidates)]


def open_vectors(folder: str | Path) -> np.ndarray:
    """The vectors of an index folder, memory-mapped. InputError if they cannot be read."""
    path = Path(folder) / VECTORS
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as vectors ({error})") from None
