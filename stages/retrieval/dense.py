"""Exact search over a memory-mapped array of unit vectors, in blocks, on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.plumbing.errors import InputError
from stages.plumbing.finite import NotFinite
from stages.plumbing.reasons import reason
from stages.retrieval.ranking import near_best, rescored

VECTORS = "vectors.npy"  # in an index folder
BLOCK = 65_536  # vectors compared with the queries at once
QUERIES = 256  # queries compared with a block at once
SAMPLE = 1024  # vectors that a reader looks at where the writer has looked at all
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
                positions, values = near_best(row, k, MARGIN)
                candidates[i] = np.concatenate([candidates[i], positions + start])
                scores[i] = np.concatenate([scores[i], values])
                kept, scores[i] = near_best(scores[i], k, MARGIN)
                candidates[i] = candidates[i][kept]
        return [
            rescored(self.vectors, q, positions, k) for q, positions in zip(queries, candidates)
        ]


def check_finite(vectors: np.ndarray, *, whole: bool) -> None:
    """NotFinite names the first vector (or number, of a flat array) that is not finite: of all,
    read block by block, or of SAMPLE spread evenly over them.
    """
    count = len(vectors)
    if whole or count <= SAMPLE:
        blocks = (np.arange(s, min(s + BLOCK, count)) for s in range(0, count, BLOCK))
    else:
        blocks = [np.linspace(0, count - 1, SAMPLE).astype(int)]
    for positions in blocks:
        block = vectors[positions[0] : positions[-1] + 1] if whole else vectors[positions]
        broken = ~np.isfinite(block).reshape(len(positions), -1).all(axis=1)
        if broken.any():
            position = int(positions[int(broken.argmax())])
            raise NotFinite(
                f"{'vector' if block.ndim > 1 else 'number'} {position + 1} is not finite"
            )


def open_vectors(folder: str | Path) -> np.ndarray:
    """The vectors of an index folder, memory-mapped: (passages, dimension). InputError if they
    cannot be read.
    """
    path = Path(folder) / VECTORS
    try:
        vectors = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as vectors ({reason(error)})") from None
    if not isinstance(vectors, np.memmap) or vectors.ndim != 2:
        raise InputError(f"{path}: holds no vectors")
    if vectors.dtype not in (np.float16, np.float32):
        raise InputError(f"{path}: vectors must be float16 or float32, not {vectors.dtype}")
    return vectors
