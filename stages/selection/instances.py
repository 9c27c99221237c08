"""Training instances of the retriever from selections (Agentic-R, step B6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from stages.common.candidates import Labels, QueryCandidates, iter_labelled
from stages.common.corpus import WantedPassages
from stages.common.instances import Instance, LabelledPassage
from stages.common.records import Passage
from stages.common.seeds import seed_of
from stages.common.visits import TogetherVisits, with_visits
from stages.params import Pairs, PairSource, Params
from stages.plumbing.errors import InputError
from stages.selection.rule import (
    FEW_NEGATIVES,
    NO_CORRECT,
    NO_RELEVANT,
    NO_VISIT,
    NOT_DRAWN,
    NOTHING_SHOWN,
    OF_VISITS,
    WRONG_ANSWER,
    Selection,
    most_positives,
    reasons,
    select,
    select_observed,
    select_ranked,
)
from stages.selection.tiers import in_tiers

ADVICE = {
    NO_RELEVANT: "the judge grades nothing high enough: see metrics/relevance, pairs.threshold",
    NO_CORRECT: "no passage led the agent to a right answer: see em in metrics/trajectories and "
    "correct_rate in metrics/correctness",
    FEW_NEGATIVES: "too many candidates are tied with the top: see pairs.negatives, "
    "candidates.top_k",
    WRONG_ANSWER: "no trajectory ends at a right answer: see em in metrics/trajectories",
    NO_VISIT: "no right trajectory says which passage it used: see metrics/visits",
    NOTHING_SHOWN: "the agent was shown no passage: see data/trajectories",
}


Selected = tuple[QueryCandidates, Labels, Labels, Selection]  # a query, its LR and GAC


@dataclass(frozen=True)
class LabelFiles:
    """The files of one iteration that selection reads; `visits` is read where the source needs
    it."""

    candidates: str | Path
    relevance: str | Path
    correctness: str | Path
    visits: str | Path


def selected(files: LabelFiles, params: Params, iteration: str) -> Iterator[Selected]:
    """Each labelled query with its selection, of which `pairs.instances` instances are drawn.

    InputError where there are fewer. The files are read anew at each call: no row is held.
    """
    count = params.pairs.instances
    if count is None:
        yield from _select_files(files, params, iteration)
        return

    def lots(query: QueryCandidates, selection: Selection) -> list[int]:
        names = (params.seed, "instances", iteration, query.id)
        return [seed_of(*names, place) for place in range(len(selection.positives))]

    every = sorted(
        lot
        for query, *_, selection in _select_files(files, params, iteration)
        for lot in lots(query, selection)
    )
    if len(every) < count:
        raise InputError(
            f"pairs@{iteration}: {len(every)} instances, fewer than 'pairs.instances' ({count}): "
            "label more questions (trajectories.questions), or take fewer"
        )
    for query, lr, gac, selection in _select_files(files, params, iteration):
        own = zip(selection.positives, lots(query, selection), strict=True)
        kept = [positive for positive, lot in own if lot <= every[count - 1]]
        if selection.positives and not kept:
            yield query, lr, gac, Selection([], selection.tied, [], NOT_DRAWN)
        else:
            yield query, lr, gac, replace(selection, positives=kept)


def _select_files(files: LabelFiles, params: Params, iteration: str) -> Iterator[Selected]:
    labelled = iter_labelled(files.candidates, files.relevance, files.correctness)
    if params.pairs.source is PairSource.gac:
        rows = ((row, None) for row in labelled)
    else:
        rows = with_visits(labelled, files.visits)
    yield from select_all(rows, params, iteration)


def select_all(
    rows: Iterable[tuple[tuple[QueryCandidates, Labels, Labels], TogetherVisits | None]],
    params: Params,
    iteration: str,
) -> Iterator[Selected]:
    """Each labelled query with its selection, drawn by ("pairs", iteration, query id)."""
    rule = params.pairs
    for (query, lr, gac), seen in rows:
        seed = seed_of(params.seed, "pairs", iteration, query.id)
        chosen = None
        if rule.source is PairSource.judge_ranking:
            chosen = select_ranked(query.ids, lr.scores, seen.own, rule)
        elif seen is not None:
            chosen = select_observed(query.ids, seen.own, rule, seed)
        if chosen is None:
            chosen = select(query.ids, lr.scores, gac.scores, rule, seed)
        if seen is not None and rule.tiers:
            chosen = in_tiers(chosen, query, seen, rule.negatives)
        if chosen.visited and params.retriever.instance_weights:
            chosen = replace(chosen, reasoning=seen.own.reasoning)
        yield query, lr, gac, chosen


def instances_of(
    candidates: QueryCandidates,
    lr: Labels,
    gac: Labels,
    selection: Selection,
    passages: WantedPassages | Mapping[str, Passage],
) -> list[Instance]:
    """One training instance for each positive of a query; LR or GAC is None where there is none."""
    relevance, correctness = lr.scores or {}, gac.scores or {}
    tiers = selection.tiers or {}
    negatives = [LabelledPassage.of(passages[n], tier=tiers.get(n)) for n in selection.negatives]
    return [
        Instance(
            id=f"{candidates.id}/{number}",
            request=candidates.query.request,
            positive=LabelledPassage.of(
                passages[positive],
                lr=relevance.get(positive),
                gac=correctness.get(positive),
            ),
            negatives=negatives,
            siblings=[tied for tied in selection.tied if tied != positive],
            reasoning=selection.reasoning,
        )
        for number, positive in enumerate(selection.positives)
    ]


@dataclass
class SelectionCounts:
    """What came of the selections by `rule` so far."""

    rule: Pairs
    queries: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    instances: int = 0
    ties_cut: int = 0
    visited: int = 0

    def add(self, selection: Selection) -> None:
        """Count one more query."""
        self.queries += 1
        if selection.dropped is not None:
            self.dropped[selection.dropped] += 1
            return
        self.visited += selection.visited
        self.instances += len(selection.positives)
        self.ties_cut += max(0, len(selection.tied) - most_positives(self.rule))

    def metrics(self) -> dict:
        """Counts in and out, drops by reason, and the positive selection rate."""
        kept = self.queries - self.dropped.total()
        gave = kept + self.dropped[NOT_DRAWN]  # how good labels are, however many are drawn
        return {
            "in": self.queries,
            "out": kept,
            "dropped": {reason: self.dropped[reason] for reason in reasons(self.rule)},
            "instances": self.instances,
            "positive_selection_rate": round(gave / max(self.queries, 1), 4),
            "ties_cut": self.ties_cut,
            **({"visited": self.visited} if self.rule.source in OF_VISITS else {}),
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
