"""BM25 index of a corpus: bm25s with its defaults (Lucene's variant, k1 1.5, b 0.75).

A passage is found if it shares a term with the query (terms.py), and not otherwise.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from stages.plumbing.errors import InputError
from stages.plumbing.finite import NotFinite
from stages.plumbing.reasons import reason
from stages.retrieval.corpus import PassageFile
from stages.retrieval.ranking import best
from stages.retrieval.terms import terms

MANY = 0.01  # of the passages: so many without a term are worth a word


def build(passages: PassageFile, folder: str | Path) -> None:
    """Index the passages' `contents` and save the index into `folder`.

    InputError if no passage has a term; NotFinite if a term's score is not finite. Where many
    passages have none, their number is said.
    """
    import bm25s

    tokens = terms((p.contents for p in passages), ids=True)
    without = sum(not ids for ids in tokens.ids)
    if without == len(passages):
        raise InputError(f"{passages.path}: no passage has a word that BM25 can index")
    if without > MANY * len(passages):
        print(
            f"{passages.path}: {without} of {len(passages)} passages have no word that BM25 can "
            "index, so it never finds them",
            file=sys.stderr,
        )
    index = bm25s.BM25(method="lucene")
    index.index(tokens, show_progress=False)
    if not np.isfinite(index.scores["data"]).all():
        raise NotFinite(f"{passages.path}: BM25 gives a word a score that is not finite")
    index.save(folder, show_progress=False)


class Bm25Index:
    """Search over a saved bm25s index, memory-mapped."""

    def __init__(self, index):
        self.index = index

    @classmethod
    def load(cls, folder: str | Path, passages: int) -> Bm25Index:
        """The index of so many passages in `folder`. InputError if it is another or is broken."""
        import bm25s

        try:
            index = bm25s.BM25.load(folder, mmap=True, show_progress=False)
            whole = _whole(index, passages)
        except Exception as error:  # whatever its parts and what they hold give
            why = f"{folder}: cannot be read as a bm25s index ({reason(error)})"
            raise InputError(why) from None
        if not whole:
            raise InputError(f"{folder}: is no bm25s index of {passages} passages: build it again")
        return cls(index)

    @property
    def weights(self) -> np.ndarray:
        """Every word's score in every passage that holds it, memory-mapped. float32"""
        return self.index.scores["data"]

    def search(self, queries: list[str], k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each query, (positions, scores) of the `k` best passages, fewer where fewer share a
        term with it; ties: earlier first. Queries that have no term are counted and said.
        """
        found, without = [], 0
        for tokens in terms(queries, ids=False):
            without += not tokens
            scores = self.index.get_scores_from_ids(self.index.get_tokens_ids(tokens))
            positions = best(scores, k)
            positions = positions[scores[positions] > 0]
            found.append((positions, scores[positions]))
        if without:
            print(
                f"BM25: {without} of {len(queries)} queries have no word that it can look for, "
                "so nothing is found for them",
                file=sys.stderr,
            )
        return found


def _whole(index, passages: int) -> bool:
    """Whether the parts of a bm25s index fit each other and the corpus."""
    scores, words = index.scores, index.vocab_dict
    data, positions, starts = scores["data"], scores["indices"], scores["indptr"]
    named = {number for word, number in words.items() if word}  # bm25s adds an empty word
    return (
        scores["num_docs"] == passages
        and data.ndim == positions.ndim == starts.ndim == 1
        and len(data) == len(positions) == starts[-1]
        and starts[0] == 0
        and bool((np.diff(starts) >= 0).all())
        and named == set(range(len(starts) - 1))
    )
