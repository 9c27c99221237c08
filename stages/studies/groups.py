"""Results by kind of question over seeds: EM by hops and namesakes, recall for ambiguous queries.

stages/reporting/breakdown.py says which queries are ambiguous.

The two pairs of a contrast ask different queries, so each side's queries count by their own kind.
What is ambiguous is said by the queries of both pairs together. The queries of a question are not
independent: intervals resample questions, each with all that both sides asked for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean, median

from stages.plumbing.errors import InputError
from stages.reporting.breakdown import ambiguous_texts
from stages.reporting.predictions import SHOWN, Outcome, outcome, unordered_sets
from stages.studies.contrasts import Interval, both_ran, bounds, experiments_by_seed
from stages.studies.experiments import Finished
from stages.studies.plan import Contrast, Side

RECALL = f"recall_{SHOWN}"
OF = {"em": "questions", RECALL: "queries"}
NAMES = {"hops": ("{} hop", "{} hops"), "namesakes": ("{} namesake", "{} namesakes")}
KINDS = ("ambiguous", "unambiguous")  # queries

GroupKey = tuple[
    str, str, int
]  # measure, key of the metadata or kind of query, number of hops, ...
QuestionSums = tuple[float, int, float, int]  # sum and number of `after`'s values, of `before`'s


def group_rows(contrasts: list[Contrast], finished: list[Finished]) -> list[dict]:
    """A row for each contrast and group that its questions tell; differences from -1 to 1.

    `count` is how many questions or queries `after` has, `count_before` how many `before`.
    """
    seeds = experiments_by_seed(finished)
    return [row for contrast in contrasts for row in _rows(contrast, seeds)]


def _rows(contrast: Contrast, seeds: list[dict[str, Finished]]) -> Iterable[dict]:
    each = [_groups(contrast, seed) for seed in seeds if both_ran(contrast, seed)]
    for group in sorted({group for groups in each for group in groups}):
        columns = [list(zip(*groups[group], strict=True)) for groups in each if group in groups]
        columns = [seed for seed in columns if sum(seed[1]) and sum(seed[3])]
        if columns:
            measure, by, value = group
            yield {
                "contrast": contrast.name,
                "measure": measure,
                "group": NAMES[by][value != 1].format(value) if by in NAMES else f"{by} query",
                "of": OF[measure],
                "count": sum(sum(seed[1]) for seed in columns),
                "count_before": sum(sum(seed[3]) for seed in columns),
                **gap_interval(columns).row(),
            }


def gap_interval(seeds: list[list[list[float]]]) -> Interval:
    """The interval of the mean over seeds of `after`'s mean less `before`'s.

    A seed is four columns, one number a question: sum and number of `after`'s values, and of
    `before`'s. Neither number may be 0 for all questions of a seed.
    """
    import numpy as np

    def gap(*columns):
        new, news, old, olds = (column.sum(axis=-1) for column in columns)
        return new / news - old / olds

    each = [float(gap(*map(np.asarray, columns))) for columns in seeds]
    with np.errstate(invalid="ignore"):  # a resample may hold no value of one side
        return Interval(fmean(each), *bounds(seeds, gap), median(each), len(seeds))


def _groups(contrast: Contrast, seed: dict[str, Finished]) -> dict[GroupKey, list[QuestionSums]]:
    """The questions that one seed's `after` and `before` were both asked, by group."""
    after, before = (_predictions(side, seed) for side in (contrast.after, contrast.before))
    both = [(after[key], before[key]) for key in after if key in before]
    metadata = _metadata(seed[contrast.after.variant], {name for name, _ in after})
    unordered = unordered_sets(metadata)
    ambiguous = ambiguous_texts(row for rows in both for row in rows if row.set not in unordered)
    found: dict[GroupKey, list[QuestionSums]] = {}
    for new, old in both:
        known = metadata[new.key]
        for by in NAMES:
            if by in known:
                question = float(new.em), 1, float(old.em), 1
                found.setdefault(("em", by, known[by]), []).append(question)
        if new.set in unordered:
            continue
        hits = [_hits(row, ambiguous) for row in (new, old)]
        for kind in KINDS:
            question = tuple(figure(side[kind]) for side in hits for figure in (sum, len))
            if question[1] or question[3]:
                found.setdefault((RECALL, kind, 0), []).append(question)
    return found


def _hits(row: Outcome, ambiguous: set[str]) -> dict[str, list[float]]:
    """Kind of query -> whether each hop's query of that kind found its passage."""
    hits: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for query in row.asked:
        hits[KINDS[query.text not in ambiguous]].append(float(query.hit))
    return hits


def _predictions(side: Side, seed: dict[str, Finished]) -> dict[tuple[str, str], Outcome]:
    one = seed[side.variant]
    name = one.pair(side.agent, side.retriever)
    return {row.key: outcome(row) for row in one.predictions(name)}


def _metadata(one: Finished, sets: set[str]) -> dict[tuple[str, str], dict]:
    """(question set, id) -> what the question tells; hops and namesakes, if any, are integers."""
    found: dict[tuple[str, str], dict] = {}
    for name in sets:
        path = f"data/questions/test/{name}.jsonl"
        for row in one.rows(path):
            found[name, row["id"]] = known = row.get("metadata") or {}
            for by in NAMES:
                if type(value := known.get(by, 0)) is not int:
                    raise InputError(
                        f"{path} of {one.experiment.name}: 'metadata.{by}' of {row['id']} is no "
                        f"whole number ({value!r}); a study of it cannot have 'groups'"
                    )
    return found
