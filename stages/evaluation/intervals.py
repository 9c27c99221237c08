"""One interval for each design of an experiment, all 95 % and all of Student's t.

| design | what is drawn anew | estimate |
| --- | --- | --- |
| nested | seeds, each with questions of its own | t on the seeds' means |
| worlds | worlds, for one model that stays | t on the worlds' means (`nested` too) |
| crossed | seeds, and one test set for all of them | sandwich with two ways of clusters |
| one run | questions, in clusters that share a fact chain | sandwich with one way of clusters |

A mean of seeds has the questions' chance in it where each seed asks its own questions, so `nested`
needs no question. Where all seeds are asked the same, what the questions do to all of them is in no
spread of the seeds' means, and `crossed` adds it. What they cover when simulated, and where that is
less than 95 %: docs/statistics.md, written by tests/benchmarks/intervals.py.

All take arrays with any leading dimensions (say, of simulated experiments) and work on the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error and that error's degrees of freedom; arrays of one shape."""

    mean: np.ndarray
    error: np.ndarray
    freedom: np.ndarray

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The ends of the interval."""
        from scipy import stats

        half = stats.t.ppf(0.5 + LEVEL / 2, self.freedom) * self.error
        return self.mean - half, self.mean + half

    def p(self) -> np.ndarray:
        """Of a true mean of zero, on two sides; 1 where there is neither mean nor error."""
        import numpy as np
        from scipy import stats

        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.abs(self.mean) / self.error
        return np.where(
            (self.mean == 0) & (self.error == 0), 1.0, 2 * stats.t.sf(ratio, self.freedom)
        )


def nested(means: np.ndarray) -> Estimate:
    """From one mean a seed (..., seed), two seeds or more; each seed weighs the same."""
    import numpy as np

    means = np.asarray(means, dtype=np.float64)
    seeds = means.shape[-1]
    error = means.std(axis=-1, ddof=1) / np.sqrt(seeds)
    return Estimate(means.mean(axis=-1), error, np.full_like(error, seeds - 1))


def clustered(sums: np.ndarray, counts: np.ndarray) -> Estimate:
    """From the sum and the number of the questions of each cluster (..., cluster), two or more.

    The sandwich of the mean as a regression on a constant: clusters times the mean square of the
    clusters' summed residuals (CR1), with one degree of freedom less than clusters.
    """
    import numpy as np

    sums, counts = (np.asarray(values, dtype=np.float64) for values in (sums, counts))
    clusters, total = sums.shape[-1], counts.sum(axis=-1)
    mean = sums.sum(axis=-1) / total
    residuals = sums - mean[..., None] * counts
    error = np.sqrt(clusters / (clusters - 1) * (residuals**2).sum(axis=-1)) / total
    return Estimate(mean, error, np.full_like(error, clusters - 1))


def crossed(sums: np.ndarray, counts: np.ndarray) -> Estimate:
    """From the sums and numbers (..., seed, cluster) of seeds that were asked the same clusters.

    The variance of both ways of clusters together (Cameron, Gelbach and Miller 2011): that of
    seeds, and that of clusters, less that of what neither explains, which both hold; no less than
    the larger of the two. Degrees of freedom by Satterthwaite's rule.
    """
    import numpy as np

    sums, counts = (np.asarray(values, dtype=np.float64) for values in (sums, counts))
    seeds, clusters = sums.shape[-2:]
    total = counts.sum(axis=(-2, -1))
    mean = sums.sum(axis=(-2, -1)) / total
    residuals = sums - mean[..., None, None] * counts
    of_seed, of_cluster = residuals.sum(axis=-1), residuals.sum(axis=-2)
    share = counts / counts.sum(axis=-1, keepdims=True)
    part = counts / counts.sum(axis=-2, keepdims=True)
    rest = residuals - share * of_seed[..., None] - part * of_cluster[..., None, :]
    parts = [
        (seeds / (seeds - 1) * (of_seed**2).sum(axis=-1), seeds - 1),
        (clusters / (clusters - 1) * (of_cluster**2).sum(axis=-1), clusters - 1),
        (
            seeds * clusters / ((seeds - 1) * (clusters - 1)) * (rest**2).sum(axis=(-2, -1)),
            (seeds - 1) * (clusters - 1),
        ),
    ]
    (seed, _), (cluster, _), (neither, _) = parts
    variance = np.maximum(seed + cluster - neither, np.maximum(seed, cluster))
    spread = sum(value**2 / free for value, free in parts)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = np.where(spread > 0, variance**2 / spread, seeds - 1.0)
    return Estimate(mean, np.sqrt(variance) / total, np.maximum(freedom, 1.0))


def chain(support: Sequence[Sequence[str]] | None) -> tuple[str, ...] | None:
    """What questions share that stand or fall together: the first passage that they need, as one
    of these ids. `support`: a list of ids a hop; None for a question that names none."""
    return tuple(sorted(support[0])) if support and support[0] else None


def by_cluster(values: list[float], clusters: list[object]) -> tuple[np.ndarray, np.ndarray]:
    """Sums and numbers of `values` by the cluster of each, in the order of their appearance."""
    import numpy as np

    positions: dict[object, int] = {}
    index = [positions.setdefault(cluster, len(positions)) for cluster in clusters]
    sums = np.bincount(index, weights=np.asarray(values, dtype=np.float64))
    return sums, np.bincount(index).astype(np.float64)


def holm(p: list[float], family: int | None = None) -> list[float]:
    """The p values adjusted by Holm's rule for a family of so many claims (None: as many as there
    are); a claim that holds at 5 % of these holds whatever the others are (Holm 1979)."""
    family = len(p) if family is None else family
    adjusted, most = [0.0] * len(p), 0.0
    for position, number in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        most = max(most, min(1.0, (family - position) * p[number]))
        adjusted[number] = most
    return adjusted
