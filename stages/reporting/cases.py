"""Questions followed through two retrievers side by side, chosen by rule.

Three kinds: won (right only with the later pair), lost (right only with the earlier one) and
unchanged (both right, or both wrong). Of each kind, question sets and numbers of hops take turns,
more hops first, and a hash of set and id says which question of a set stands for it: the choice
does not depend on file order, and nobody picks. Beside them, and first of their kind, stand the
questions that `report.follow` names.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from stages.common.seeds import seed_of
from stages.common.trajectories import Trajectory
from stages.reporting.predictions import Predictions
from stages.reporting.results import PairResult, Results

KINDS = ("won", "lost", "unchanged")


@dataclass(frozen=True)
class Case:
    """One question under two pairs; `before` and `after` are its trajectories."""

    kind: str
    question: str
    set: str
    hops: int | None
    golden_answers: list[str]
    before: Trajectory
    after: Trajectory


def case_pairs(results: Results) -> tuple[PairResult, PairResult] | None:
    """The pair with R_0 (of the latest agent that was evaluated with it) and the last iteration."""
    with_r0 = [
        p for p in results.pairs if p.retriever == "0" and p.agent in ["0", *results.iterations]
    ]
    if not with_r0 or not results.iterations or results.flywheel[-1].retriever == "0":
        return None
    return max(with_r0, key=lambda pair: int(pair.agent)), results.flywheel[-1]


def choose_cases(
    pairs: tuple[PairResult, PairResult],
    predictions: Predictions,
    per_kind: int,
    follow: list[str] | None = None,
) -> list[Case]:
    """At most `per_kind` cases of each kind, won first, and all whose question holds one of the
    texts `follow`, in any case of letters.
    """
    wanted = [text.casefold() for text in follow or ()]
    before, after = (predictions[pair.name] for pair in pairs)
    later = {row.key: row for row in after}
    cases: dict[str, list[Case]] = {kind: [] for kind in KINDS}
    for row in before:
        other = later.get(row.key)
        if other is not None:
            cases[_kind(row.em, other.em)].append(_case(row, other))
    chosen = []
    for kind in KINDS:
        turns = _in_turns(cases[kind])
        named = [c for c in turns if any(text in c.question.casefold() for text in wanted)]
        chosen += named + [case for case in turns if case not in named][:per_kind]
    return chosen


def _case(row: Trajectory, other: Trajectory) -> Case:
    shared = row.question, row.set, row.hops, row.golden_answers
    return Case(_kind(row.em, other.em), *shared, row, other)


def _in_turns(cases: list[Case]) -> list[Case]:
    """The first of every (hops, set), more hops first, then the second of every one, and so on."""
    groups: dict[tuple[int, str], list[Case]] = {}
    for case in sorted(cases, key=lambda case: seed_of(0, "case", case.set, case.before.id)):
        groups.setdefault((-(case.hops or 0), case.set), []).append(case)
    rounds = zip_longest(*(groups[key] for key in sorted(groups)))
    return [case for row in rounds for case in row if case is not None]


def _kind(before: int, after: int) -> str:
    if before == after:
        return "unchanged"
    return "won" if after > before else "lost"


def gold_hops(row: Trajectory) -> dict[str, int]:
    """Gold passage of a trajectory's question -> its hop, from 1."""
    hops = row.supporting_ids or []
    return {name: hop for hop, names in reversed([*enumerate(hops, 1)]) for name in names}
