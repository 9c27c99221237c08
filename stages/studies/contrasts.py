"""Differences between pairs over seeds and questions, with the interval of their design.

The two pairs of a contrast answer the same questions (stages/reporting/pairing.py). Seeds with
questions of their own are nested, seeds with the same questions crossed, one seed alone is a run
(stages/evaluation/intervals.py). The claims of a study are corrected for each other by Holm's rule;
everything else is exploratory, and called clear where its interval leaves out zero.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace
from statistics import fmean, median

from stages.common.trajectories import Trajectory
from stages.evaluation.intervals import (
    Estimate,
    by_cluster,
    chain,
    clustered,
    crossed,
    holm,
    nested,
)
from stages.plumbing.errors import InputError
from stages.reporting.pairing import Identity, identified, paired
from stages.reporting.results import is_oracle
from stages.reporting.study_rows import ALL, ContrastResult
from stages.studies.experiments import Finished
from stages.studies.plan import Contrast, Side

MEASURES = ("em", "searches")
SIGNIFICANT = 0.05
SHARED = 0.1  # the share of a seed's questions that another must have for the two to be crossed


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


Values = dict[str, Sample]  # by question set


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


def interval(seeds: list[Sample]) -> Interval:
    """The interval of the mean over seeds of the mean over questions, by the design of `seeds`.

    InputError where there is one seed and all of its questions need the same passage.
    """
    alone = [by_cluster(seed.values, seed.chains) for seed in seeds]
    if len(seeds) == 1 and len(alone[0][0]) < 2:
        raise InputError(
            "a study of one seed needs two questions that do not need the same first passage: "
            "there is no interval without"
        )
    each = [fmean(seed.values) for seed in seeds]
    errors = [float(clustered(*seed).error) for seed in alone if len(seed[0]) > 1]
    of_questions = fmean(error**2 for error in errors) ** 0.5 if errors else None
    if len(seeds) == 1:
        estimate = clustered(*alone[0])
    elif _are_crossed(seeds):
        estimate = crossed(*_by_seed_and_cluster(seeds))
    else:
        estimate = nested(each)
        if estimate.error == 0 and of_questions:  # equal by chance: only questions tell
            estimate = Estimate(estimate.mean, of_questions / len(seeds) ** 0.5, estimate.freedom)
    return _interval(estimate, each, of_questions)


def of_means(seeds: list[float]) -> Interval:
    """The interval from the means of two seeds or more that had questions of their own."""
    return _interval(nested(seeds), seeds, None)


def _interval(estimate: Estimate, each: list[float], of_questions: float | None) -> Interval:
    low, high = estimate.bounds()
    spread = float(nested(each).error) * len(each) ** 0.5 if len(each) > 1 else None
    means = float(estimate.mean), float(low), float(high), float(estimate.p())
    return Interval(*means, median(each), len(each), spread, of_questions)


def _are_crossed(seeds: list[Sample]) -> bool:
    """Whether two of the seeds were asked the same questions, or many of them. A made-up world has
    few words, so that some questions of two worlds are equal by chance."""
    asked = [{*seed.questions} for seed in seeds]
    return any(
        len(one & other) > SHARED * min(len(one), len(other))
        for place, one in enumerate(asked)
        for other in asked[:place]
    )


def _by_seed_and_cluster(seeds: list[Sample]):
    """Sums and numbers of the values (seed, cluster), the clusters of all seeds together."""
    import numpy as np

    places = {c: n for n, c in enumerate(dict.fromkeys(c for seed in seeds for c in seed.chains))}
    sums, counts = np.zeros((2, len(seeds), len(places)))
    for number, seed in enumerate(seeds):
        index = [places[one] for one in seed.chains]
        np.add.at(sums[number], index, seed.values)
        np.add.at(counts[number], index, 1)
    return sums, counts


def contrast_rows(
    contrasts: list[Contrast], finished: list[Finished], claims: tuple[str, ...] = ()
) -> list[ContrastResult]:
    """A row for each contrast, measure and question set ("all": all questions of the sets that
    both sides were asked); a contrast that no seed has both sides of is left out."""
    rows, seeds = [], experiments_by_seed(finished)
    for contrast in contrasts:
        for measure in MEASURES:
            each = [found for seed in seeds if (found := _paired(contrast, seed, measure))]
            rows += [
                contrast_row(contrast, name, measure, interval(samples))
                for name, samples in _by_set(each).items()
            ]
    return with_claims(rows, claims)


def contrast_row(contrast: Contrast, name: str, measure: str, found: Interval) -> ContrastResult:
    """A contrast's line of the table, of one question set and measure."""
    return ContrastResult(
        contrast=contrast.name,
        after=side_label(contrast.after),
        before=side_label(contrast.before),
        question_set=name,
        measure=measure,
        **found.cells(),
    )


def with_claims(rows: list[ContrastResult], claims: tuple[str, ...]) -> list[ContrastResult]:
    """The rows of contrasts, each told whether it is a primary claim: EM over all questions of one
    of `claims`. A claim is clear by its p as Holm's rule adjusts it for all of them, those without
    a row included."""
    places = [
        place
        for place, row in enumerate(rows)
        if row.contrast in claims and (row.question_set, row.measure) == (ALL, "em")
    ]
    adjusted = holm([rows[place].p for place in places], len(claims))
    found = list(rows)
    for place, p in zip(places, adjusted, strict=True):
        told = {"claim": True, "p_adjusted": round(p, 6), "clear": p < SIGNIFICANT}
        found[place] = replace(rows[place], **told)
    return found


def experiments_by_seed(finished: list[Finished]) -> list[dict[str, Finished]]:
    """Variant -> experiment, for each seed."""
    seeds: dict[int, dict[str, Finished]] = {}
    for one in finished:
        seeds.setdefault(one.experiment.seed, {})[one.experiment.variant] = one
    return list(seeds.values())


def both_ran(contrast: Contrast, seed: dict[str, Finished]) -> bool:
    """Whether one seed has the pairs of both sides."""
    return all(
        side.variant in seed and (side.agent, side.retriever) in seed[side.variant].pairs
        for side in (contrast.after, contrast.before)
    )


def both_answered(
    contrast: Contrast, seed: dict[str, Finished]
) -> list[tuple[Trajectory, Trajectory]]:
    """(`before`'s, `after`'s) prediction of every question that one seed asked both sides, an
    oracle ranking some of them.
    InputError where a set of one name holds different questions."""
    sides = [(seed[side.variant], side) for side in (contrast.before, contrast.after)]
    names = [
        f"{one.pair(side.agent, side.retriever)} of {one.experiment.name}" for one, side in sides
    ]
    rows = (pair_predictions(one, side) for one, side in sides)
    return paired(*rows, names=tuple(names), part=any(is_oracle(s.retriever) for _, s in sides))


def _paired(contrast: Contrast, seed: dict[str, Finished], measure: str) -> Values | None:
    """Question by question, what one seed's `after` has more of than its `before`."""
    if not both_ran(contrast, seed):
        return None
    values: Values = {}
    pairs = both_answered(contrast, seed)
    for question, (old, new) in zip(identified(old for old, _ in pairs), pairs, strict=True):
        difference = float(getattr(new, measure) - getattr(old, measure))
        values.setdefault(question[0], Sample()).add(difference, old, question)
    return values or None


def measured(one: Finished, side: Side, measure: str) -> Values:
    """`measure` of a pair's predictions, by question set."""
    values: Values = {}
    for question, row in identified(pair_predictions(one, side)).items():
        values.setdefault(question[0], Sample()).add(float(getattr(row, measure)), row, question)
    return values


def pair_predictions(one: Finished, side: Side) -> list[Trajectory]:
    """The predictions of a pair. InputError for a question set whose name stands for all sets."""
    return _predicted(one, one.pair(side.agent, side.retriever))


@functools.cache
def _predicted(one: Finished, name: str) -> list[Trajectory]:
    """A file serves many contrasts."""
    found = list(one.predictions(name))
    if any(row.set == ALL for row in found):
        raise InputError(
            f"data/predictions/{name}.jsonl of {one.experiment.name}: a question set is called "
            f"'{ALL}', which stands for all sets in the tables; give it another name"
        )
    return found


def joined(parts: Iterable[Sample]) -> Sample:
    """The questions of all parts."""
    whole = Sample()
    for part in parts:
        whole.values += part.values
        whole.chains += part.chains
        whole.questions += part.questions
    return whole


def _by_set(seeds: list[Values]) -> dict[str, list[Sample]]:
    """Question set, or "all" -> the sample of each seed."""
    sets: Iterable[str] = dict.fromkeys(name for values in seeds for name in values)
    found = {ALL: [joined(values.values()) for values in seeds]}
    found |= {name: [values[name] for values in seeds if name in values] for name in sets}
    return found if seeds else {}


def side_label(side: Side) -> str:
    """How tables call a side: `no gac: Agent_1 + R_1`."""
    from stages.reporting.results import agent_label, retriever_label

    variant = "" if side.variant == "full" else f"{side.variant.replace('_', ' ')}: "
    return f"{variant}{agent_label(side.agent)} + {retriever_label(side.retriever)}"
