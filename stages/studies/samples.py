"""What one seed measured question by question, and the interval of several seeds by their design.

Seeds with questions of their own are nested, seeds with the same questions crossed, one seed alone
is a run (stages/evaluation/intervals.py). Of nested seeds three numbers each are enough.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Protocol

from stages.common.trajectories import Trajectory
from stages.evaluation.intervals import Estimate, by_cluster, chain, clustered, crossed, nested
from stages.plumbing.errors import InputError
from stages.reporting.pairing import Identity

SHARED = 0.1  # the share of a seed's questions that another must have for the two to be crossed
DIGITS = 10  # of a mean and its error: tables keep them so, and give the same figures again


@dataclass
class Sample:
    """What one seed measured: a value for each question, its chain, and what the question is."""

    values: list[float] = field(default_factory=list)
    chains: list[Hashable] = field(default_factory=list)
    questions: list[Hashable] = field(default_factory=list)

    def add(self, value: float, row: Trajectory, question: Identity) -> None:
        """One question more."""
        self.values.append(value)
        self.chains.append(chain(row.supporting_ids) or question)
        self.questions.append(question)


def joined(parts: Iterable[Sample]) -> Sample:
    """The questions of all parts."""
    whole = Sample()
    for part in parts:
        whole.values += part.values
        whole.chains += part.chains
        whole.questions += part.questions
    return whole


@dataclass(frozen=True)
class Interval:
    """Mean over seeds with its 95 % interval and p; the median and the standard deviation of the
    seeds, and of the latter what their questions explain (None where no question is at hand)."""

    mean: float
    low: float
    high: float
    p: float
    median: float
    seeds: int
    spread: float | None = None
    question_error: float | None = None

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def cells(self) -> dict:
        """What the row of a table says of it, by column."""
        names = ("mean", "median", "low", "high", "p", "spread", "question_error")
        values = {name: getattr(self, name) for name in names}
        rounded = {n: None if v is None else round(v, 6) for n, v in values.items()}
        return {"seeds": self.seeds, **rounded, "clear": self.clear}


class Mean(Protocol):
    """What `of_seeds` needs of one seed: its mean, the standard error of it over so many fact
    chains of its questions (None of one chain)."""

    @property
    def mean(self) -> float: ...
    @property
    def error(self) -> float | None: ...
    @property
    def chains(self) -> int: ...


@dataclass(frozen=True)
class SeedMean:
    """One seed's sample in three numbers; see `Mean`."""

    mean: float
    error: float | None
    chains: int


def seed_mean(seed: Sample) -> SeedMean:
    """The mean of one seed's questions with its error, as tables keep them."""
    sums, counts = by_cluster(seed.values, seed.chains)
    error = float(clustered(sums, counts).error) if len(sums) > 1 else None
    mean = round(fmean(seed.values), DIGITS)
    return SeedMean(mean, None if error is None else round(error, DIGITS), len(sums))


def interval(seeds: list[Sample]) -> Interval:
    """The interval of the mean over seeds of the mean over questions, by the design of `seeds`.

    InputError where there is one seed and all of its questions need the same passage.
    """
    each = [seed_mean(seed) for seed in seeds]
    if len(seeds) > 1 and are_crossed(seeds):
        return _interval(crossed(*_by_seed_and_cluster(seeds)), each)
    return of_seeds(each)


def of_seeds(seeds: Sequence[Mean]) -> Interval:
    """As `interval`, from the means of seeds that had questions of their own, or of one seed."""
    means, of_questions = [seed.mean for seed in seeds], _of_questions(seeds)
    if len(seeds) == 1:
        (seed,) = seeds
        if seed.error is None:
            raise InputError(
                "a study of one seed needs two questions that do not need the same first passage: "
                "there is no interval without"
            )
        return _interval(Estimate(seed.mean, seed.error, seed.chains - 1), seeds)
    estimate = nested(means)
    if estimate.error == 0 and of_questions:  # equal by chance: only questions tell
        estimate = Estimate(estimate.mean, of_questions / len(seeds) ** 0.5, estimate.freedom)
    return _interval(estimate, seeds)


def _of_questions(seeds: Sequence[Mean]) -> float | None:
    """The deviation of a seed's mean that its questions explain."""
    errors = [seed.error for seed in seeds if seed.error is not None]
    return fmean(error**2 for error in errors) ** 0.5 if errors else None


def _interval(estimate: Estimate, seeds: Sequence[Mean]) -> Interval:
    each = [seed.mean for seed in seeds]
    low, high = estimate.bounds()
    spread = float(nested(each).error) * len(each) ** 0.5 if len(each) > 1 else None
    means = float(estimate.mean), float(low), float(high), float(estimate.p())
    return Interval(*means, median(each), len(each), spread, _of_questions(seeds))


def are_crossed(seeds: list[Sample]) -> bool:
    """Whether two of the seeds were asked the same questions, or many of them. A made-up world has
    few words, so that some questions of two worlds are equal by chance."""
    asked = [{*seed.questions} for seed in seeds]
    return any(
        len(one & other) > SHARED * min(len(one), len(other))
        for position, one in enumerate(asked)
        for other in asked[:position]
    )


def _by_seed_and_cluster(seeds: list[Sample]):
    """Sums and numbers of the values (seed, cluster), the clusters of all seeds together."""
    import numpy as np

    positions = {
        c: n for n, c in enumerate(dict.fromkeys(c for seed in seeds for c in seed.chains))
    }
    sums, counts = np.zeros((2, len(seeds), len(positions)))
    for number, seed in enumerate(seeds):
        index = [positions[one] for one in seed.chains]
        np.add.at(sums[number], index, seed.values)
        np.add.at(counts[number], index, 1)
    return sums, counts
