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
from stages.reporting.predictions import Outcome, Predictions
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
    rows: dict[str, list[Outcome]] = {kind: [] for kind in KINDS}
    for row in before:
        other = later.get(row.key)
        if other is not None:
            rows[_kind(row.em, other.em)].append(row)
    chosen = []
    for kind in KINDS:
        turns = _in_turns(rows[kind])
        named = [r for r in turns if any(text in r.question.casefold() for text in wanted)]
        shown = {row.key for row in named}
        named += [row for row in turns if row.key not in shown][:per_kind]
        for row in named:
            both = zip(pairs, (row, later[row.key]), strict=True)
            chosen.append(_case(kind, *(predictions.trajectory(p.name, r) for p, r in both)))
    return chosen


def _case(kind: str, row: Trajectory, other: Trajectory) -> Case:
    return Case(kind, row.question, row.set, row.hops, row.golden_answers, row, other)


def _in_turns(rows: list[Outcome]) -> list[Outcome]:
    """The first of every (hops, set), more hops first, then the second of every one, and so on."""
    groups: dict[tuple[int, str], list[Outcome]] = {}
    for row in sorted(rows, key=lambda row: seed_of(0, "case", row.set, row.id)):
        groups.setdefault((-(row.hops or 0), row.set), []).append(row)
    rounds = zip_longest(*(groups[key] for key in sorted(groups)))
    return [row for several in rounds for row in several if row is not None]


def _kind(before: int, after: int) -> str:
    if before == after:
        return "unchanged"
    return "won" if after > before else "lost"


def gold_hops(row: Trajectory) -> dict[str, int]:
    """Gold passage of a trajectory's question -> its hop, from 1."""
    hops = row.supporting_ids or []
    return {name: hop for hop, names in reversed([*enumerate(hops, 1)]) for name in names}
