"""The k best of a row of scores, with one rule for ties: the earlier position first."""

from __future__ import annotations

import numpy as np


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Positions of the `k` highest scores (all, if there are fewer), best first. (k,)"""
    k = min(k, len(scores))
    if k <= 0:
        return np.empty(0, dtype=np.int64)
    threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > threshold)
    equal = np.flatnonzero(scores == threshold)[: k - len(above)]
    places = np.concatenate([above, equal])
    return places[np.lexsort((places, -scores[places]))]
