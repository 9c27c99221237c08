"""Training instances of the retriever from selections (Agentic-R, step B6)."""

from __future__ import annotations

from stages.common.candidates import PassageScores, QueryCandidates
from stages.common.instances import Instance, LabelledPassage
from stages.common.records import Passage
from stages.common.seeds import seed_of
from stages.params import Params
from stages.plumbing.errors import InputError
from stages.selection.rule import (
    FEW_NEGATIVES,
    NO_CORRECT,
    NO_RELEVANT,
    REASONS,
    Selection,
    select,
)

ADVICE = {
    NO_RELEVANT: "the judge grades nothing high enough: see metrics/relevance, pairs.threshold",
    NO_CORRECT: "no passage led the agent to a right answer: see em in metrics/trajectories and "
    "correct_rate in metrics/correctness",
    FEW_NEGATIVES: "too many candidates are tied with the top: see pairs.negatives, "
    "candidates.top_k",
}


def select_all(
    queries: list[QueryCandidates],
    relevance: list[PassageScores],
    correctness: list[PassageScores],
    params: Params,
    iteration: str,
) -> list[Selection]:
    """The selection of each query, its draw seeded by (seed, "pairs", iteration, query id)."""
    return [
        select(each.ids, lr, gac, params.pairs, seed_of(params.seed, "pairs", iteration, each.id))
        for each, lr, gac in zip(queries, relevance, correctness, strict=True)
    ]


def instances_of(
    candidates: QueryCandidates,
    relevance: PassageScores,
    correctness: PassageScores,
    selection: Selection,
    passages: dict[str, Passage],
) -> list[Instance]:
    """One training instance for each positive of a query; LR or GAC is None where it was off."""
    negatives = [LabelledPassage.of(passages[n]) for n in selection.negatives]
    return [
        Instance(
            id=f"{candidates.id}/{number}",
            request=candidates.query.request,
            positive=LabelledPassage.of(
                passages[positive],
                lr=relevance and relevance[positive],
                gac=correctness and correctness[positive],
            ),
            negatives=negatives,
            siblings=[tied for tied in selection.tied if tied != positive],
        )
        for number, positive in enumerate(selection.positives)
    ]


def selection_metrics(selections: list[Selection]) -> dict:
    """Counts in and out, drops by reason, and the positive selection rate."""
    kept = [s for s in selections if s.dropped is None]
    return {
        "in": len(selections),
        "out": len(kept),
        "dropped": {r: sum(s.dropped == r for s in selections) for r in REASONS},
        "instances": sum(len(s.positives) for s in kept),
        "positive_selection_rate": round(len(kept) / max(len(selections), 1), 4),
        "ties_cut": sum(len(s.tied) - len(s.positives) for s in kept),
    }


def check_not_empty(counts: dict, iteration: str) -> None:
    """InputError when selection left nothing to train on: the counts and where to look."""
    if counts["out"]:
        return
    if not counts["in"]:
        raise InputError(
            f"pairs@{iteration}: no training pair, since no query came in: see the counts in "
            "metrics/candidates and metrics/relevance"
        )
    drops = ", ".join(f"{reason}: {n}" for reason, n in counts["dropped"].items() if n)
    most = max(counts["dropped"], key=counts["dropped"].get)
    raise InputError(
        f"pairs@{iteration}: no training pair from {counts['in']} queries ({drops}); {ADVICE[most]}"
    )
