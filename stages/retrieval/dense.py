"""Exact dense index: one memory-mapped array of unit vectors, built and searched in blocks.

A build goes chunk by chunk into its final file and notes each finished chunk, so a killed build
goes on where it stopped and ends with the same bytes; memory stays flat at any corpus size.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.errors import InputError
from stages.progress import progress
from stages.records import read_json, write_json
from stages.retrieval.corpus import PassageFile
from stages.retrieval.encoding import Retriever
from stages.retrieval.ranking import best

CHUNK = 512  # batches encoded between two notes of progress
BLOCK = 65_536  # vectors compared with the queries at once
QUERIES = 256  # queries compared with a block at once
MARGIN = 1e-4  # above any rounding error of a float32 product of unit vectors


def build(
    passages: PassageFile, retriever: Retriever, dtype: str, work: Path, *, chunk: int | None = None
) -> Path:
    """Encode all passages into `work`/vectors.npy and return it; goes on with what is there.

    `chunk`: passages between two notes of progress; the bytes do not depend on it.
    """
    chunk = chunk or CHUNK * retriever.rows
    file, note = work / "vectors.npy", work / "done.json"
    shape = (len(passages), retriever.dimension)
    done = read_json(note)["passages"] if note.exists() else 0
    mode = "r+" if done else "w+"
    vectors = np.lib.format.open_memmap(file, mode=mode, dtype=np.dtype(dtype), shape=shape)
    with progress(total=len(passages), desc="encoding", unit="passage") as bar:
        bar.update(done)
        for first in range(done, len(passages), chunk):
            contents = [p.contents for p in passages.between(first, first + chunk)]
            encoded = retriever.encode_passages(contents, bar.update)
            vectors[first : first + len(contents)] = encoded
            vectors.flush()
            write_json(note, {"passages": first + len(contents)})
    return file


class DenseIndex:
    """Inner product search over a `vectors.npy`, in place."""

    def __init__(self, vectors: np.ndarray):
        self.vectors = vectors

    @classmethod
    def load(cls, folder: str | Path) -> DenseIndex:
        """The index in `folder`, memory-mapped."""
        path = Path(folder) / "vectors.npy"
        try:
            return cls(np.load(path, mmap_mode="r"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as vectors ({error})") from None

    def search(self, queries: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each query, (positions, scores) of the `k` nearest passages, best first.

        Block products only choose who may be among the best; those are then scored pair by pair
        in float64, so that a score depends on nothing but its query and its passage, and equal
        passages tie exactly. Ties go to the earlier passage.
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
                places, values = _near_best(row, k)
                candidates[i] = np.concatenate([candidates[i], places + start])
                scores[i] = np.concatenate([scores[i], values])
                kept, scores[i] = _near_best(scores[i], k)
                candidates[i] = candidates[i][kept]
        return [self._rescore(q, places, k) for q, places in zip(queries, candidates)]

    def _rescore(self, query: np.ndarray, places: np.ndarray, k: int):
        vectors = np.asarray(self.vectors[places], dtype=np.float64)
        exact = (vectors * query.astype(np.float64)).sum(axis=1)
        order = best(exact, k)
        return places[order], exact[order]


def _near_best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (ascending) and values of the `k` highest scores and those within MARGIN."""
    if len(scores) > k:
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k] - MARGIN
        places = np.flatnonzero(scores >= threshold)
    else:
        places = np.arange(len(scores))
    return places, scores[places]
