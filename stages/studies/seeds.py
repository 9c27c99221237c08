"""STUDY_seeds.csv: what every seed says of each contrast, in numbers that any clone can go on with.

A row holds a seed's mean difference (or, without a `before`, a pair's mean), its number of
questions, and the error over their fact chains. That is all that the interval of nested seeds
needs. Where seeds were asked the same questions, their interval needs what each question did to all
of them: it is made where all of the seeds' experiments are, and nowhere else.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stages.plumbing.errors import InputError
from stages.reporting.study_rows import ALL, SeedRow
from stages.studies.contrasts import (
    MEASURES,
    both_ran,
    experiments_by_seed,
    gains,
    measured,
)
from stages.studies.experiments import Finished
from stages.studies.groups import Gap, group_samples
from stages.studies.plan import Contrast, Side, Study
from stages.studies.samples import Interval, Sample, interval, of_seeds, seed_mean
from stages.studies.states import digest, together

OWN_PAIR = ("1", "1")  # of levels: Agent_1 with the R_1 of its variant


@dataclass(frozen=True)
class Key:
    """What rows of several seeds have in common; without a `before` a level, not a difference."""

    after: str
    before: str | None
    question_set: str
    measure: str
    group: str | None = None

    @classmethod
    def of(cls, row: SeedRow) -> Key:
        return cls(row.after, row.before, row.question_set, row.measure, row.group)


@dataclass(frozen=True)
class SeedTable:
    """The rows of all seeds, and the samples of those whose experiments are here; `path`: of the
    table."""

    path: Path
    rows: list[SeedRow]
    samples: dict[Key, dict[int, Sample]] = field(default_factory=dict)

    @functools.cached_property
    def _by_key(self) -> dict[Key, list[SeedRow]]:
        found: dict[Key, list[SeedRow]] = {}
        for row in self.rows:
            found.setdefault(Key.of(row), []).append(row)
        return found

    def keys(self, after: str, before: str | None, of_groups: bool = False) -> list[Key]:
        """What the table has of two sides: all questions first, or only its groups of them."""
        found = [
            key
            for key in self._by_key
            if (key.after, key.before, key.group is not None) == (after, before, of_groups)
        ]
        return sorted(found, key=lambda key: key.question_set != ALL)

    def of(self, key: Key) -> list[SeedRow]:
        """The rows of every seed that has one, by seed."""
        return self._by_key.get(key, [])

    def states(self, key: Key) -> int:
        """How many states made the rows."""
        return len({row.state for row in self.of(key)})

    def interval(self, key: Key) -> Interval:
        """Of the seeds' mean. InputError where some of several seeds were asked the same questions
        and not all of their experiments are here."""
        rows, here = self.of(key), self.samples.get(key, {})
        if {row.seed for row in rows} == {*here}:
            return interval(list(here.values()))
        seen: dict[str, int] = {}
        for row in rows:
            if (other := seen.setdefault(row.asked, row.seed)) != row.seed:
                raise InputError(
                    f"{self.path}: the seeds {other} and {row.seed} were asked the same questions "
                    f"(of the set '{key.question_set}', or drawn from the same file), so their "
                    "means alone have no interval: run all of the study's seeds in one clone"
                )
        return of_seeds(rows)


def seed_table(study: Study, finished: list[Finished], path: Path) -> SeedTable:
    """The table of the experiments that are here."""
    table = SeedTable(path, [])
    for seed in experiments_by_seed(finished):
        for contrast in _different(study.contrasts):
            if both_ran(contrast, seed):
                _add_contrast(table, contrast, seed, contrast.name in study.groups)
        for one in seed.values():
            for side in shown_pairs(study, one):
                for measure in MEASURES:
                    for name, sample in measured(one, side, measure).items():
                        key = Key(str(side), None, name, measure)
                        _add(table, key, None, [one], Gap(sample, len(sample.values)))
    return table


def _different(contrasts: Iterable[Contrast]) -> Iterator[Contrast]:
    """Without those that have both sides of an earlier one."""
    seen = set()
    for contrast in contrasts:
        if (sides := (contrast.after, contrast.before)) not in seen:
            seen.add(sides)
            yield contrast


def shown_pairs(study: Study, one: Finished) -> list[Side]:
    """The pairs of an experiment whose own figures the study's tables show."""
    variant = one.experiment.variant
    pairs = list(one.pairs) if variant in study.transfer else []
    if variant in {*study.price, *study.accuracy, *study.grid}:
        pairs.append(OWN_PAIR)
    return [Side(variant, *pair) for pair in dict.fromkeys(pairs) if pair in one.pairs]


def _add_contrast(
    table: SeedTable, contrast: Contrast, seed: dict[str, Finished], of_groups: bool
) -> None:
    after, before = str(contrast.after), str(contrast.before)
    made = [seed[contrast.after.variant], seed[contrast.before.variant]]
    for measure in MEASURES:
        for name, sample in gains(contrast, seed, measure).items():
            found = Gap(sample, len(sample.values))
            _add(table, Key(after, before, name, measure), contrast.name, made, found)
    if of_groups:
        for (measure, group), found in group_samples(contrast, seed).items():
            key = Key(after, before, ALL, measure, group)
            _add(table, key, contrast.name, made, found)


def _add(
    table: SeedTable, key: Key, contrast: str | None, made: list[Finished], found: Gap
) -> None:
    one, mean = made[0], seed_mean(found.sample)
    seed, file = one.experiment.seed, one.question_file
    row = SeedRow(
        seed=seed,
        **vars(together(each.made for each in made)),
        contrast=contrast,
        **vars(key),
        questions=found.count,
        questions_before=found.count_before,
        **vars(mean),
        asked=digest(sorted(found.sample.questions) if file is None else file),
    )
    table.rows.append(row)
    table.samples.setdefault(key, {})[seed] = found.sample
