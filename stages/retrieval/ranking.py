"""Top k of scores. Ties go to the earlier position.

Products of blocks, in whatever precision, only choose who may be among the best; those are then
scored pair by pair in float64, so that a score depends on nothing but its query and its passage,
equal passages tie exactly, and every kind of index gives the same scores.

Scores that are not finite compare with nothing, and would be left out or come first in silence:
they are an error (NotFinite) wherever the best are chosen.
"""

from __future__ import annotations

import numpy as np

from stages.plumbing.finite import NotFinite


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Positions of the `k` highest scores (all, if there are fewer), best first. (k,)"""
    _check(scores)
    k = min(k, len(scores))
    if k <= 0:
        return np.empty(0, dtype=np.int64)
    threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > threshold)
    equal = np.flatnonzero(scores == threshold)[: k - len(above)]
    positions = np.concatenate([above, equal])
    return positions[np.lexsort((positions, -scores[positions]))]


def near_best(scores: np.ndarray, k: int, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions (ascending) and values of the `k` highest scores and those within `margin`."""
    _check(scores)
    if len(scores) > k:
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k] - margin
        positions = np.flatnonzero(scores >= threshold)
    else:
        positions = np.arange(len(scores))
    return positions, scores[positions]


def _check(scores: np.ndarray) -> None:
    if not np.isfinite(scores).all():
        raise NotFinite("a score is not finite")


def rescored(
    vectors: np.ndarray, query: np.ndarray, positions: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The `k` best of the passages at `positions`, which ascend, by exact score: both of them."""
    chosen = np.asarray(vectors[positions], dtype=np.float64)
    exact = (chosen * query.astype(np.float64)).sum(axis=1)
    order = best(exact, k)
    return positions[order], exact[order]
