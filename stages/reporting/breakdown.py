"""Results by kind of question: EM by hops and by namesakes, recall for ambiguous queries.

A query is ambiguous if several test questions ask the same text and no passage is gold for all of
them. No ranking of that text alone can be right for everyone.

Hop h belongs to query h (as in stages/evaluation/recall.py). A question that asks a text needs the
gold passages of the hop at which it asked it first, so asking again makes nothing ambiguous. Only
gold passages are read. Question sets that name them without the order of hops are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean

from stages.evaluation.intervals import by_cluster, chain, clustered
from stages.reporting.comparisons import Difference, difference
from stages.reporting.predictions import (
    BY,
    SHOWN,
    Outcome,
    Predictions,
    QuestionKey,
    unordered_sets,
)
from stages.reporting.results import PairResult

QUERIES = ("ambiguous", "not ambiguous")

Sides = tuple[PairResult, PairResult]


@dataclass(frozen=True)
class QuestionGroup:
    """EM of the questions of one group under two pairs, question by question."""

    by: str
    group: str
    questions: int
    before: float
    after: float
    em: Difference


@dataclass(frozen=True)
class Recall:
    """Recall@k of gold passages by one kind of query of a pair, with the 95 % interval over the
    fact chains of the questions that asked them."""

    queries: int
    recall: float
    low: float
    high: float


@dataclass(frozen=True)
class Breakdown:
    """Two pairs by group; `recalls`: kind of query -> before and after, None where none was asked.

    Groups that the questions do not tell (no hops, namesakes or gold passages) are not there;
    neither are questions whose hops or namesakes are no integer. `k`: that of recall@k, SHOWN or
    less where no ranking is as deep.
    """

    sides: Sides
    groups: list[QuestionGroup]
    recalls: dict[str, tuple[Recall | None, Recall | None]]
    k: int

    def by(self, key: str) -> list[QuestionGroup]:
        """The groups by one key of the metadata."""
        return [group for group in self.groups if group.by == key]


def breakdown(
    sides: Sides, predictions: Predictions, metadata: dict[QuestionKey, dict]
) -> Breakdown:
    """Compare two pairs by group; what is ambiguous is said by the queries of all pairs."""
    rows = [predictions[pair.name] for pair in sides]
    names = tuple(pair.label for pair in sides)
    groups = [group for by in BY for group in _groups(by, *rows, metadata, names)]
    unordered = unordered_sets(metadata)

    def ordered(part: Iterable[Outcome]) -> Iterator[Outcome]:
        return (row for row in part if row.set not in unordered)

    ambiguous = ambiguous_texts(row for part in predictions.rows.values() for row in ordered(part))
    each = [_recalls(ordered(part), ambiguous) for part in rows]
    pairs = {kind: (each[0].get(kind), each[1].get(kind)) for kind in QUERIES}
    recalls = {kind: pair for kind, pair in pairs.items() if pair != (None, None)}
    return Breakdown(sides, groups, recalls, min(SHOWN, _depth(rows)))


def _groups(
    by: str,
    before: list[Outcome],
    after: list[Outcome],
    metadata: dict,
    names: tuple[str, str],
) -> Iterator[QuestionGroup]:
    def label(row: Outcome) -> int | None:
        value = metadata.get(row.key, {}).get(by)
        return value if type(value) is int else None  # a data set may hold anything here

    for name in sorted({label(row) for row in before} - {None}):
        old, new = ([row for row in rows if label(row) == name] for rows in (before, after))
        means = (fmean(row.em for row in rows) for rows in (old, new))
        found = difference(old, new, "em", names)
        yield QuestionGroup(by, str(name), len(old), *means, found)


def ambiguous_texts(rows: Iterable[Outcome]) -> set[str]:
    """The query texts by which `rows` ask for different gold passages."""
    wants = gold_by_text(rows)
    return {text for text, wanted in wants.items() if not frozenset.intersection(*wanted)}


def gold_by_text(rows: Iterable[Outcome]) -> dict[str, set[frozenset[str]]]:
    """Query text -> the sets of gold passages that questions wanted when they first asked it."""
    first: dict[tuple[str, QuestionKey], frozenset[str]] = {}
    for row in rows:
        for query in row.asked:
            first.setdefault((query.text, row.key), frozenset(query.gold))
    wants: dict[str, set[frozenset[str]]] = {}
    for (text, _), gold in first.items():
        wants.setdefault(text, set()).add(gold)
    return wants


def _depth(rows: Iterable[list[Outcome]]) -> int:
    """Passages of the deepest ranking."""
    return max((query.depth for part in rows for row in part for query in row.asked), default=0)


def _recalls(rows: Iterable[Outcome], ambiguous: set[str]) -> dict[str, Recall]:
    hits: dict[str, list[float]] = {}  # kind -> 1 or 0 for each query
    clusters: dict[str, list[object]] = {}
    for row in rows:
        cluster = chain(row.supporting_ids) or row.key
        for query in row.asked:
            kind = QUERIES[query.text not in ambiguous]
            hits.setdefault(kind, []).append(float(query.hit))
            clusters.setdefault(kind, []).append(cluster)
    return {kind: _recall(found, clusters[kind]) for kind, found in hits.items()}


def _recall(hits: list[float], clusters: list[object]) -> Recall:
    """The mean over queries; its interval is over fact chains, as their queries stand or fall
    together: all from 0 to 1 where there is one chain."""
    sums, counts = by_cluster(hits, clusters)
    if len(sums) < 2:
        return Recall(len(hits), fmean(hits), 0.0, 1.0)
    low, high = (min(1.0, max(0.0, float(end))) for end in clustered(sums, counts).bounds())
    return Recall(len(hits), fmean(hits), low, high)


def breakdown_rows(found: list[Breakdown]) -> list[dict]:
    """Tidy: one row for each pair and group, each pair once; EM and recall from 0 to 1."""
    rows: dict[tuple, dict] = {}
    for one in found:
        for group in one.groups:
            for pair, em in zip(one.sides, (group.before, group.after), strict=True):
                row = {"pair": pair.name, "by": group.by, "group": group.group}
                rows[tuple(row.values())] = row | {"questions": group.questions, "em": em}
        for kind, recalls in one.recalls.items():
            for pair, recall in zip(one.sides, recalls, strict=True):
                if recall is not None:
                    row = {"pair": pair.name, "by": "query", "group": kind}
                    rows[tuple(row.values())] = row | {"k": one.k} | vars(recall)
    return list(rows.values())
