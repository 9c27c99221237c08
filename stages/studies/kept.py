"""A study's tables anew from the figures of each seed that `metrics/studies` keeps; nothing runs.

NAME.csv holds what every pair of every seed measured. In the made-up world each seed has questions
of its own, so the seeds' means are all that an interval needs. What is not kept: which questions
changed (so no interval of a single seed, none for a test set that seeds share, and no
`question_error`), and the groups of questions, whose table stays as it was measured, as do
contrasts with an oracle ranking, which was asked a part of the questions.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stages.plumbing.errors import InputError
from stages.reporting.results import is_oracle
from stages.reporting.study_rows import (
    ALL,
    TABLES,
    Accuracy,
    ContrastResult,
    LabelPrice,
    PairRow,
    Transfer,
    read_rows,
    table_path,
)
from stages.studies.contrasts import MEASURES, contrast_row, of_means, side_label, with_claims
from stages.studies.plan import Contrast, Side, Study

SetSeed = tuple[str, int]  # question set, seed
Figures = dict[SetSeed, tuple[int, float]]  # -> the number of questions, the mean
Level = LabelPrice | Accuracy | Transfer
LEVELS = ("price", "accuracy", "transfer")  # tables of levels of EM
MADE = ("contrasts", *LEVELS)  # made anew here; the others stay as they were written


def kept_tables(study: Study, folder: Path) -> dict[str, list]:
    """The tables of `study` in `folder`, contrasts and levels with intervals of today."""
    found = {
        name: read_rows(table_path(folder, study.name, name), kind) for name, kind in TABLES.items()
    }
    if not found[""]:
        raise InputError(f"{folder}/{study.name}.csv: not there; run the study")
    pairs = _pairs(found[""])
    found["contrasts"] = kept_contrasts(study, pairs, found["contrasts"])
    for name in LEVELS:
        found[name] = [_level(row, study, pairs) for row in found[name]]
    return found


def kept_contrasts(
    study: Study, pairs: dict[tuple[Side, str], Figures], former: list[ContrastResult]
) -> list[ContrastResult]:
    """The rows of the study's contrasts, and of those that only the former table has."""
    contrasts = {contrast.name: contrast for contrast in study.contrasts}
    sides = {side_label(side): side for side, _ in pairs}
    for row in former:
        if row.contrast not in contrasts and {row.after, row.before} <= {*sides}:
            both = sides[row.after], sides[row.before]
            contrasts[row.contrast] = Contrast(row.contrast, *both)
    rows = []
    for contrast in contrasts.values():
        if is_oracle(contrast.after.retriever) or is_oracle(contrast.before.retriever):
            rows += [row for row in former if row.contrast == contrast.name]
            continue
        for measure in MEASURES:
            after, before = (
                pairs.get((side, measure), {}) for side in (contrast.after, contrast.before)
            )
            both = [key for key in after if key in before]
            for name in (ALL, *dict.fromkeys(name for name, _ in both)) if both else ():
                if len(values := _differences(after, before, name)) > 1:
                    rows.append(contrast_row(contrast, name, measure, of_means(values)))
    return with_claims(rows, study.claims)


def claim_rows(folder: Path) -> dict[str, list[ContrastResult]]:
    """Study -> the rows of its contrasts that are primary claims, of all studies in `folder`."""
    found = {}
    for path in sorted(folder.glob("*_contrasts.csv")):
        if rows := [row for row in read_rows(path, ContrastResult) if row.claim]:
            found[path.stem.removesuffix("_contrasts")] = rows
    return found


def _differences(after: Figures, before: Figures, wanted: str) -> list[float]:
    """A mean over the questions for each seed that has both sides. InputError where they had other
    numbers of questions."""
    seeds: dict[int, list[tuple[int, float]]] = {}
    for (name, seed), (questions, value) in after.items():
        if wanted not in (ALL, name) or (name, seed) not in before:
            continue
        others, other = before[name, seed]
        if questions != others:
            raise InputError(
                f"seed {seed}: one side of a contrast was asked {questions} questions of the "
                f"set '{name}', the other {others}: they are not the same questions"
            )
        seeds.setdefault(seed, []).append((questions, value - other))
    return [sum(n * v for n, v in each) / sum(n for n, _ in each) for each in seeds.values()]


def _pairs(rows: list[PairRow]) -> dict[tuple[Side, str], Figures]:
    found: dict[tuple[Side, str], Figures] = {}
    for row in rows:
        side = Side(row.variant, row.agent, row.retriever)
        for measure in MEASURES:
            figures = found.setdefault((side, measure), {})
            figures[row.question_set, row.seed] = row.questions, getattr(row, measure)
    return found


def _level(row: Level, study: Study, pairs: dict[tuple[Side, str], Figures]) -> Level:
    """A row of a table of levels, with the interval of its pair over seeds."""
    if isinstance(row, Transfer):
        retriever, _, short = row.retriever.partition(":")
        first, *others = study.transfer
        variant = next((v for v in others if v.removeprefix(f"{first}_") == short), first)
        side, wanted = Side(variant, row.agent, retriever), row.question_set
    else:
        side, wanted = Side(row.variant, "1", "1"), ALL
    ends: dict[str, float] = {}
    for measure in MEASURES:
        if hasattr(row, f"{measure}_low"):
            figures = pairs[side, measure]
            nothing = {key: (questions, 0.0) for key, (questions, _) in figures.items()}
            level = of_means(_differences(figures, nothing, wanted))
            ends |= {f"{measure}_low": round(level.low, 4), f"{measure}_high": round(level.high, 4)}
    return replace(row, **ends)
