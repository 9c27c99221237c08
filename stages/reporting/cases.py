"""Questions followed through two retrievers side by side, chosen by rule.

Three kinds: won (right only with the later pair), lost (right only with the earlier one) and
unchanged (both right, or both wrong). Of each kind the questions are ordered by more hops first,
then by a hash of set and id: the choice does not depend on file order, and nobody picks.
"""

from __future__ import annotations

from dataclasses import dataclass

from stages.reporting.predictions import Predictions
from stages.reporting.results import PairResult, Results
from stages.seeds import seed_of

KINDS = ("won", "lost", "unchanged")


@dataclass(frozen=True)
class Case:
    """One question under two pairs; `before` and `after` are its trajectories."""

    kind: str
    question: str
    set: str
    golden_answers: list[str]
    before: dict
    after: dict


def case_pairs(results: Results) -> tuple[PairResult, PairResult] | None:
    """The pair with R_0 (of the latest agent that was evaluated with it) and the last turn."""
    with_r0 = [p for p in results.pairs if p.retriever == "0" and p.agent in ["0", *results.turns]]
    if not with_r0 or not results.turns or results.flywheel[-1].retriever == "0":
        return None
    return max(with_r0, key=lambda pair: int(pair.agent)), results.flywheel[-1]


def choose_cases(
    pairs: tuple[PairResult, PairResult], predictions: Predictions, per_kind: int
) -> list[Case]:
    """At most `per_kind` cases of each kind, won first."""
    before, after = (predictions[pair.name] for pair in pairs)
    later = {(row["set"], row["id"]): row for row in after}
    cases: dict[str, list[Case]] = {kind: [] for kind in KINDS}
    for row in sorted(before, key=_order):
        other = later.get((row["set"], row["id"]))
        if other is not None:
            kind = _kind(row["em"], other["em"])
            cases[kind].append(
                Case(kind, row["question"], row["set"], row["golden_answers"], row, other)
            )
    return [case for kind in KINDS for case in cases[kind][:per_kind]]


def _order(row: dict) -> tuple[int, int]:
    return -row.get("hops", 0), seed_of(0, "case", row["set"], row["id"])


def _kind(before: int, after: int) -> str:
    if before == after:
        return "unchanged"
    return "won" if after > before else "lost"
