"""Training instances of the retriever from selections (Agentic-R, step B6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from stages.common.candidates import Labels, QueryCandidates
from stages.common.corpus import WantedPassages
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


Selected = tuple[QueryCandidates, Labels, Labels, Selection]  # a query, its LR and GAC


def select_all(
    labelled: Iterable[tuple[QueryCandidates, Labels, Labels]], params: Params, iteration: str
) -> Iterator[Selected]:
    """Each labelled query with its selection, drawn by ("pairs", iteration, query id)."""
    for query, lr, gac in labelled:
        seed = seed_of(params.seed, "pairs", iteration, query.id)
        yield query, lr, gac, select(query.ids, lr.scores, gac.scores, params.pairs, seed)


def instances_of(
    candidates: QueryCandidates,
    lr: Labels,
    gac: Labels,
    selection: Selection,
    passages: WantedPassages | Mapping[str, Passage],
) -> list[Instance]:
    """One training instance for each positive of a query; LR or GAC is None where it was off."""
    relevance, correctness = lr.scores, gac.scores
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


@dataclass
class SelectionCounts:
    """What came of the selections so far."""

    queries: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    instances: int = 0
    ties_cut: int = 0

    def add(self, selection: Selection) -> None:
        """Count one more query."""
        self.queries += 1
        if selection.dropped is not None:
            self.dropped[selection.dropped] += 1
            return
        self.instances += len(selection.positives)
        self.ties_cut += len(selection.tied) - len(selection.positives)

    def metrics(self) -> dict:
        """Counts in and out, drops by reason, and the positive selection rate."""
        kept = self.queries - self.dropped.total()
        return {
            "in": self.queries,
            "out": kept,
            "dropped": {reason: self.dropped[reason] for reason in REASONS},
            "instances": self.instances,
            "positive_selection_rate": round(kept / max(self.queries, 1), 4),
            "ties_cut": self.ties_cut,
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
