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
)
from stages.common.seeds import seed_of
from stages.common.trajectories import Trajectory, iter_trajectories
from stages.metrics import run
from stages.params import Pairs, Params
from stages.reporting.results import Results
from stages.selection.instances import LabelFiles, Selected, selected
from stages.selection.rule import (
    FEW_NEGATIVES,
    NO_CORRECT,
    NO_RELEVANT,
    NO_VISIT,
    NOT_DRAWN,
    NOTHING_SHOWN,
    WRONG_ANSWER,
    Selection,
    reasons,
)

LOWER, AMONG, DEEPER, FIRST = "lower_grade", "among_equals", "below_first", "first"
KINDS = {  # in the order of the page
    LOWER: "kept: no passage of the best grade led to the right answer, one of a lower grade did",
    AMONG: "kept: of passages with the same grade, GAC told which led to the right answer",
    DEEPER: "kept: the positive was not the retriever's first passage",
    FIRST: "kept: the retriever's first passage was the positive",
    NO_RELEVANT: "dropped: no passage was graded high enough",
    NO_CORRECT: "dropped: no passage that was graded high enough led to the right answer",
    FEW_NEGATIVES: "dropped: too many passages are level with the best to draw negatives",
    WRONG_ANSWER: "dropped: the agent's own answer was wrong",
    NO_VISIT: "dropped: the agent used no passage that it was shown",
    NOTHING_SHOWN: "dropped: the agent was shown no passage",
    NOT_DRAWN: "dropped: enough instances were drawn without it",
}
KEPT = (LOWER, AMONG, DEEPER, FIRST)
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
    """`counts`: iteration -> kind -> all its queries; `queries`: those that are shown; `kinds`:
    what they may be, in words."""

    kinds: dict[str, str] = field(default_factory=dict)
    counts: dict[str, Counter] = field(default_factory=dict)
    queries: list[QueryCase] = field(default_factory=list)


def read_labelled(
    folder: Path, iterations: list[str], params: Params, per_kind: int = 1
) -> LabelledQueries:
    """Count and choose the queries of every iteration; `folder` holds candidates/K.jsonl etc."""
    found = LabelledQueries(_kinds_of(params.pairs))
    for iteration in iterations:
        found.counts[iteration], chosen = _kinds(folder, iteration, params, per_kind)
        rows = [(kind, row) for kind in found.kinds for _, row in chosen.get(kind, [])]
        wanted = {row[0].query.question_id for _, row in rows}
        told = iter_trajectories(_file(folder, "trajectories", iteration))
        answers = {each.id: each for each in told if each.id in wanted}
        found.queries += [_query(iteration, kind, answers, *row) for kind, row in rows]
    return found


def _kinds_of(rule: Pairs) -> dict[str, str]:
    """What a query may be, by where the positives come from."""
    return {kind: KINDS[kind] for kind in (*KEPT, *reasons(rule))}


def check_counts(labelled: LabelledQueries, results: Results, metrics: Path) -> None:
    """InputError unless the labels of every iteration give the counts of pairs in `metrics`."""
    for iteration, kinds in labelled.counts.items():
        pairs = results.stages["pairs"][iteration]
        dropped = {kind: count for kind, count in kinds.items() if kind not in KEPT}
        kept = sum(kinds.values()) - sum(dropped.values())
        counted = {"in": pairs["in"], "out": pairs["out"]}
        counted |= {reason: pairs["dropped"].get(reason, 0) for reason in dropped}
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


def _kinds(
    folder: Path, iteration: str, params: Params, per_kind: int
) -> tuple[Counter[str], dict[str, list[tuple[int, Selected]]]]:
    """Kind -> number of labelled queries; and of each the first `per_kind`, by a hash."""
    names = ("candidates", "relevance", "correctness", "visits")
    files = LabelFiles(*(_file(folder, name, iteration) for name in names))
    counts = Counter(dict.fromkeys(_kinds_of(params.pairs), 0))
    chosen: dict[str, list[tuple[int, Selected]]] = {}
    for row in selected(files, params, iteration):
        query, grades, gac, selection = row
        kind = query_kind(query.ids, grades.scores, gac.scores, selection)
        counts[kind] += 1
        first = chosen.setdefault(kind, [])
        first.append((seed_of(0, "label", iteration, query.id), row))
        first.sort(key=lambda ranked: ranked[0])
        del first[per_kind:]
    return counts, chosen


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
    labels: Labels,
    chosen: Selection,
) -> QueryCase:
    lr, gac = grades.scores or {}, labels.scores or {}
    roles = dict.fromkeys(chosen.tied, TIED) | dict.fromkeys(chosen.negatives, NEGATIVE)
    roles |= dict.fromkeys(chosen.positives, POSITIVE)
    candidates = [
        Candidate(
            rank,
            each.id,
            each.score,
            lr.get(each.id),
            gac.get(each.id),
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
