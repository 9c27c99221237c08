"""Example queries for the report, with the labels of their candidates. A rule chooses them.

A query is of one kind: where it was kept, whether GAC or the ranking's order had the last word;
else why it was dropped. Of each kind and iteration a hash of the query's id says which one is
shown. Selection is that of stages/selection/rule.py, so positives and negatives are those in
data/pairs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from stages.common.candidates import (
    Labels,
    PassageScores,
    QueryCandidates,
    match,
    read_candidates,
    read_labels,
)
from stages.common.seeds import seed_of
from stages.common.trajectories import Trajectory, read_trajectories
from stages.metrics import run
from stages.params import Params
from stages.reporting.results import Results
from stages.selection.instances import select_all
from stages.selection.rule import FEW_NEGATIVES, NO_CORRECT, NO_RELEVANT, REASONS, Selection

LOWER, AMONG, DEEPER, FIRST = "lower_grade", "among_equals", "below_first", "first"
KINDS = {  # in the order of the page
    LOWER: "kept: no passage of the best grade led to the right answer, one of a lower grade did",
    AMONG: "kept: of passages with the same grade, GAC told which led to the right answer",
    DEEPER: "kept: the positive was not the retriever's first passage",
    FIRST: "kept: the retriever's first passage was the positive",
    NO_RELEVANT: "dropped: no passage was graded high enough",
    NO_CORRECT: "dropped: no passage that was graded high enough led to the right answer",
    FEW_NEGATIVES: "dropped: too many passages are level with the best to draw negatives",
}
POSITIVE, NEGATIVE, TIED = "positive", "negative", "level with the positive"


@dataclass(frozen=True)
class Candidate:
    """A candidate with its labels; `gac` None where it was not evaluated, `role` "" for none."""

    rank: int
    id: str
    score: float
    lr: int | None
    gac: int | None
    role: str


@dataclass(frozen=True)
class QueryCase:
    """One intermediate query and its candidates; `em`: whether the trajectory ended right."""

    iteration: str
    kind: str
    question: str
    golden_answers: list[str]
    em: int | None
    query: str
    sub_answer: str | None
    candidates: list[Candidate]


@dataclass
class LabelledQueries:
    """`counts`: iteration -> kind -> all its queries; `queries`: those that are shown."""

    counts: dict[str, Counter] = field(default_factory=dict)
    queries: list[QueryCase] = field(default_factory=list)


def read_labelled(
    folder: Path, iterations: list[str], params: Params, per_kind: int = 1
) -> LabelledQueries:
    """Count and choose the queries of every iteration; `folder` holds candidates/K.jsonl etc."""
    found = LabelledQueries()
    for iteration in iterations:
        kinds = _kinds(folder, iteration, params)
        found.counts[iteration] = Counter({kind: len(kinds.get(kind, [])) for kind in KINDS})
        answers = {
            each.id: each for each in read_trajectories(_file(folder, "trajectories", iteration))
        }
        for kind in KINDS:
            rows = kinds.get(kind, [])
            rows.sort(key=lambda row: seed_of(0, "label", iteration, row[0].id))
            found.queries += [_query(iteration, kind, answers, *row) for row in rows[:per_kind]]
    return found


def check_counts(labelled: LabelledQueries, results: Results, metrics: Path) -> None:
    """InputError unless the labels of every iteration give the counts of pairs in `metrics`."""
    for iteration, kinds in labelled.counts.items():
        pairs = results.stages["pairs"][iteration]
        dropped = {reason: kinds[reason] for reason in REASONS}
        kept = sum(kinds.values()) - sum(dropped.values())
        counted = {"in": pairs["in"], "out": pairs["out"]}
        counted |= {reason: pairs["dropped"].get(reason, 0) for reason in REASONS}
        found = {"in": sum(kinds.values()), "out": kept} | dropped
        for name, count in counted.items():
            if found[name] != count:
                raise run.foreign(
                    metrics / "pairs" / f"{iteration}.json",
                    f"'{name}' is {count}, and {found[name]} by the labels of "
                    f"iteration {iteration}",
                )


def _file(folder: Path, stage: str, iteration: str) -> Path:
    return folder / stage / f"{iteration}.jsonl"


def _kinds(folder: Path, iteration: str, params: Params) -> dict[str, list[tuple]]:
    """Kind -> (candidates, LR, GAC, selection) of every labelled query."""
    path = _file(folder, "correctness", iteration)
    correct = read_labels(path, 0, 1)
    found = read_candidates(_file(folder, "candidates", iteration))
    queries = [candidates for candidates, _ in match(found, correct, path)]
    graded = read_labels(_file(folder, "relevance", iteration), 0, 100)
    relevance = [labels for labels, _ in match(graded, correct, path)]
    gac = [labels.scores for labels in correct]
    chosen = select_all(queries, [labels.scores for labels in relevance], gac, params, iteration)
    kinds: dict[str, list[tuple]] = {}
    for query, grades, scores, selection in zip(queries, relevance, gac, chosen, strict=True):
        kind = query_kind(query.ids, grades.scores, scores, selection)
        kinds.setdefault(kind, []).append((query, grades, scores, selection))
    return kinds


def query_kind(
    candidates: list[str], lr: PassageScores, gac: PassageScores, selection: Selection
) -> str:
    """Why the query was dropped, or what decided its positive; LR or GAC None where it was off."""
    if selection.dropped:
        return selection.dropped
    positive = selection.positives[0]
    if lr and gac:
        best = max(lr.values())
        if lr[positive] < best:
            return LOWER
        if any(lr[name] == best and gac.get(name) == 0 for name in candidates):
            return AMONG
    return FIRST if positive == candidates[0] else DEEPER


def _query(
    iteration: str,
    kind: str,
    answers: dict[str, Trajectory],
    asked: QueryCandidates,
    grades: Labels,
    gac: PassageScores,
    chosen: Selection,
) -> QueryCase:
    lr = grades.scores or {}
    roles = dict.fromkeys(chosen.tied, TIED) | dict.fromkeys(chosen.negatives, NEGATIVE)
    roles |= dict.fromkeys(chosen.positives, POSITIVE)
    candidates = [
        Candidate(
            rank,
            each.id,
            each.score,
            lr.get(each.id),
            (gac or {}).get(each.id),
            roles.get(each.id, ""),
        )
        for rank, each in enumerate(asked.candidates, 1)
    ]
    trajectory = answers.get(asked.query.question_id)
    return QueryCase(
        iteration,
        kind,
        asked.query.request.question,
        trajectory.golden_answers if trajectory else [],
        trajectory.em if trajectory else None,
        asked.query.request.query,
        grades.sub_answer,
        candidates,
    )
