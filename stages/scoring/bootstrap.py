"""Percentile bootstrap interval of a mean over questions."""

from __future__ import annotations

from collections.abc import Sequence


def bootstrap_interval(
    values: Sequence[float], seed: int, samples: int = 1000
) -> tuple[float, float]:
    """The central 95 % of the means of `samples` resamples of `values`, drawn with `seed`."""
    import numpy as np

    if not values:
        raise ValueError("no values to resample")
    data = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = [data[rng.integers(len(data), size=len(data))].mean() for _ in range(samples)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
