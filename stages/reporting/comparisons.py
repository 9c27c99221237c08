"""What each half iteration of the flywheel gave: paired differences with their intervals.

Two pairs are compared question by question (stages/reporting/pairing.py), so the interval is that
of the mean difference, which is narrower than two intervals side by side suggest. Questions that
share a fact chain count together (`clustered` in stages/evaluation/intervals.py). A difference is
called one only when its interval leaves out zero. It also says how many questions it would take to
see a given one: questions whose outcome changes often need more of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from stages.evaluation.intervals import by_cluster, chain, clustered
from stages.params import ORACLE
from stages.reporting.pairing import identified, paired
from stages.reporting.predictions import Outcome, Predictions
from stages.reporting.results import PairResult, Results, agent_label, retriever_label

LEVEL, POWER = 1.96, 0.84  # of the normal distribution: 5 % on two sides, 80 % of runs
SEEN = 0.02  # EM: the difference that the run is asked whether it could see


@dataclass(frozen=True)
class Difference:
    """Mean of `after` less `before` over all questions, with its 95 % interval; `deviation` is
    the standard deviation of the questions' own differences, as wide as their chains make it."""

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


def half_iterations(results: Results, predictions: Predictions) -> list[PairChange]:
    """The half iterations whose two pairs were both evaluated, and the whole way from 0 to K."""
    found = []
    for what, before, after in _changes(results.iterations):
        pairs = results.pair(*before), results.pair(*after)
        if None not in pairs and before != after:
            rows = [predictions[pair.name] for pair in pairs]
            names = tuple(pair.label for pair in pairs)
            em, searches = (difference(*rows, key, names) for key in ("em", "searches"))
            found.append(PairChange(what, *pairs, em, searches))
    return found


def bounds(results: Results, predictions: Predictions) -> list[PairChange]:
    """What an oracle's ranking gives over the retriever's own, over the questions that it was
    asked: what is left to gain, and no system. Only where both pairs were evaluated."""
    found = []
    for after in results.pairs:
        before = results.pair(after.agent, after.retriever.removesuffix(ORACLE))
        if after.of_oracle and before is not None:
            rows = [predictions[pair.name] for pair in (before, after)]
            names = before.label, after.label
            em, searches = (difference(*rows, key, names, part=True) for key in ("em", "searches"))
            what = f"{after.label} for {before.label}"
            found.append(PairChange(what, before, after, em, searches))
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
    before: list[Outcome],
    after: list[Outcome],
    key: str,
    names: tuple[str, str] = ("before", "after"),
    *,
    part: bool = False,
) -> Difference:
    """Of the questions of the sets that both were asked, by words and gold answers.

    InputError where they were asked different questions in a set of one name. Of one chain alone
    nothing says how others would do: its interval reaches as far as the mean and 1 more, beyond 0.
    """
    pairs = paired(before, after, names, part=part)
    values = [float(getattr(new, key) - getattr(old, key)) for old, new in pairs]
    questions = identified(old for old, _ in pairs)
    chains = [
        chain(old.supporting_ids) or question
        for question, (old, _) in zip(questions, pairs, strict=True)
    ]
    sums, counts = by_cluster(values, chains)
    if len(sums) < 2:
        mean = float(sums.sum() / counts.sum())
        return Difference(mean, min(mean, 0.0) - 1, max(mean, 0.0) + 1, 0.0)
    found = clustered(sums, counts)
    low, high = (float(end) for end in found.bounds())
    return Difference(float(found.mean), low, high, float(found.error) * len(values) ** 0.5)
