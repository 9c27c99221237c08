"""What each half iteration of the flywheel gave: paired differences with bootstrap intervals.

Two pairs are compared question by question, so the interval is that of the mean difference, which
is narrower than two intervals side by side suggest. A difference is called one only when its
interval leaves out zero. A difference also says how many questions it would take to see a given
one: questions whose outcome changes often need more of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, stdev

from stages.reporting.predictions import Outcome, Predictions
from stages.reporting.results import PairResult, Results, agent_label, retriever_label
from stages.scoring import bootstrap_interval

LEVEL, POWER = 1.96, 0.84  # of the normal distribution: 5 % on two sides, 80 % of runs
SEEN = 0.02  # EM: the difference that the run is asked whether it could see


@dataclass(frozen=True)
class Difference:
    """Mean of `after` less `before` over all questions, with its 95 % interval; `deviation` is
    the standard deviation of the questions' own differences, 0 where there is one question."""

    mean: float
    low: float
    high: float
    deviation: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    @property
    def questions_needed(self) -> int | None:
        """Questions at which a mean difference of SEEN is clear in four of five runs.

        The usual size of a paired test, ((1.96 + 0.84) * deviation / SEEN)^2; None where all
        questions changed alike, or none did: they say nothing of the size.
        """
        if not self.deviation:
            return None
        return math.ceil(((LEVEL + POWER) * self.deviation / SEEN) ** 2)


@dataclass(frozen=True)
class PairChange:
    """One change between two pairs: a new agent, or a new retriever."""

    what: str
    before: PairResult
    after: PairResult
    em: Difference
    searches: Difference


def half_iterations(
    results: Results, predictions: Predictions, seed: int, samples: int
) -> list[PairChange]:
    """The half iterations whose two pairs were both evaluated, and the whole way from 0 to K."""
    found = []
    for what, before, after in _changes(results.iterations):
        pairs = results.pair(*before), results.pair(*after)
        if None not in pairs and before != after:
            rows = [predictions[pair.name] for pair in pairs]
            em, searches = (difference(*rows, key, seed, samples) for key in ("em", "searches"))
            found.append(PairChange(what, *pairs, em, searches))
    return found


def _changes(iterations: list[str]) -> list[tuple[str, tuple[str, str], tuple[str, str]]]:
    """(name, (agent, retriever) before, after), in the order in which the flywheel makes them."""
    rows = []
    for previous, k in zip(["0", *iterations], iterations, strict=False):
        new, old = agent_label(k), agent_label(previous)
        ranker, former = retriever_label(k), retriever_label(previous)
        rows.append((f"{new} for {old}, both with {former}", (previous, previous), (k, previous)))
        rows.append((f"{ranker} for {former}, both with {new}", (k, previous), (k, k)))
    if iterations:
        last = iterations[-1]
        whole = f"{agent_label(last)} + {retriever_label(last)} for base agent + R_0"
        rows.append((whole, ("0", "0"), (last, last)))
    return rows


def difference(
    before: list[Outcome], after: list[Outcome], key: str, seed: int, samples: int
) -> Difference:
    """Paired over the questions that both hold, matched by set and id."""
    old = {row.key: getattr(row, key) for row in before}
    new = {row.key: getattr(row, key) for row in after}
    values = [float(new[question] - old[question]) for question in old if question in new]
    low, high = bootstrap_interval(values, seed, samples)
    return Difference(fmean(values), low, high, stdev(values) if len(values) > 1 else 0.0)
