"""BM25 index of a corpus: bm25s with its defaults (Lucene's variant, k1 1.5, b 0.75)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.plumbing.errors import InputError
from stages.retrieval.corpus import PassageFile
from stages.retrieval.ranking import best


def build(passages: PassageFile, folder: str | Path) -> None:
    """Index the passages' `contents` and save the index into `folder`."""
    import bm25s

    # Ids by first appearance; without them bm25s numbers its words by Python's hash seed.
    tokens = bm25s.tokenize([p.contents for p in passages], return_ids=True, show_progress=False)
    index = bm25s.BM25(method="lucene")
    index.index(tokens, show_progress=False)
    index.save(folder, show_progress=False)


class Bm25Index:
    """Search over a saved bm25s index, memory-mapped."""

    def __init__(self, index):
        self.index = index

    @classmethod
    def load(cls, folder: str | Path) -> Bm25Index:
        """The index in `folder`."""
        import bm25s

        try:
            return cls(bm25s.BM25.load(folder, mmap=True, show_progress=False))
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{folder}: cannot be read as a bm25s index ({error})") from None

    def search(self, queries: list[str], k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each query, (positions, scores) of the `k` best passages; ties: earlier first."""
        import bm25s

        found = []
        for tokens in bm25s.tokenize(queries, return_ids=False, show_progress=False):
            scores = self.index.get_scores_from_ids(self.index.get_tokens_ids(tokens))
            places = best(scores, k)
            found.append((places, scores[places]))
        return found
