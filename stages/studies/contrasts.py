"""Differences between pairs over seeds and questions, with the interval of their design.

The two pairs of a contrast answer the same questions (stages/reporting/pairing.py). The claims of a
study are corrected for each other by Holm's rule; everything else is exploratory, and called clear
where its interval leaves out zero.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from stages.common.trajectories import Trajectory
from stages.evaluation.intervals import holm
from stages.plumbing.errors import InputError
from stages.reporting.pairing import identified, paired
from stages.reporting.results import is_oracle
from stages.reporting.study_rows import ALL, ContrastResult
from stages.studies.experiments import Finished
from stages.studies.plan import Contrast, Side
from stages.studies.samples import Sample, joined

if TYPE_CHECKING:
    from stages.studies.seeds import Key, SeedTable

MEASURES = ("em", "searches")
SIGNIFICANT = 0.05
Values = dict[str, Sample]  # by question set


def contrast_rows(
    contrasts: list[Contrast], table: SeedTable, claims: tuple[str, ...] = ()
) -> list[ContrastResult]:
    """A row for each contrast, measure and question set ("all": all questions of the sets that
    both sides were asked), of the seeds that have both sides; a contrast that no seed has both
    sides of is left out."""
    rows = [
        _contrast_row(contrast.name, key, table)
        for contrast in contrasts
        for measure in MEASURES
        for key in table.keys(str(contrast.after), str(contrast.before))
        if key.measure == measure
    ]
    return with_claims(rows, claims)


def _contrast_row(name: str, key: Key, table: SeedTable) -> ContrastResult:
    return ContrastResult(
        contrast=name,
        after=side_label(Side.of(key.after)),
        before=side_label(Side.of(key.before)),
        question_set=key.question_set,
        measure=key.measure,
        **table.interval(key).cells(),
        states=table.states(key),
    )


def with_claims(rows: list[ContrastResult], claims: tuple[str, ...]) -> list[ContrastResult]:
    """The rows of contrasts, each told whether it is a primary claim: EM over all questions of one
    of `claims`. A claim is clear by its p as Holm's rule adjusts it for all of them, those without
    a row included."""
    positions = [
        position
        for position, row in enumerate(rows)
        if row.contrast in claims and (row.question_set, row.measure) == (ALL, "em")
    ]
    adjusted = holm([rows[position].p for position in positions], len(claims))
    found = list(rows)
    for position, p in zip(positions, adjusted, strict=True):
        told = {"claim": True, "p_adjusted": round(p, 6), "clear": p < SIGNIFICANT}
        found[position] = replace(rows[position], **told)
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


def gains(contrast: Contrast, seed: dict[str, Finished], measure: str) -> Values:
    """Question by question, what one seed's `after` has more of than its `before`, by question
    set; nothing where they were asked nothing together."""
    values: Values = {}
    pairs = both_answered(contrast, seed)
    for question, (old, new) in zip(identified(old for old, _ in pairs), pairs, strict=True):
        difference = float(getattr(new, measure) - getattr(old, measure))
        values.setdefault(question[0], Sample()).add(difference, old, question)
    return with_all(values)


def measured(one: Finished, side: Side, measure: str) -> Values:
    """`measure` of a pair's predictions, by question set and over all."""
    values: Values = {}
    for question, row in identified(pair_predictions(one, side)).items():
        values.setdefault(question[0], Sample()).add(float(getattr(row, measure)), row, question)
    return with_all(values)


def with_all(values: Values) -> Values:
    """All questions together first, then each set."""
    return {ALL: joined(values.values())} | values if values else {}


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


def side_label(side: Side) -> str:
    """How tables call a side: `no gac: Agent_1 + R_1`."""
    from stages.reporting.results import agent_label, retriever_label

    variant = "" if side.variant == "full" else f"{side.variant.replace('_', ' ')}: "
    return f"{variant}{agent_label(side.agent)} + {retriever_label(side.retriever)}"
