"""The figures of one question set under one (agent, retriever) pair."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from stages.common.evaluations import SetResult
from stages.common.trajectories import Trajectory
from stages.evaluation.bearing import Positions, within
from stages.evaluation.intervals import chain, clustered
from stages.evaluation.recall import Hits, first_query_hits, found_hits, hop_hits
from stages.params import Params

OUTCOMES = ("em", "f1", "searches")


@dataclass
class SetMetrics:
    """The figures of a question set, of trajectories that are added one by one; numbers are kept.

    Trajectories' turns carry `ranked` (passage ids of the turn's query, best first), and they carry
    `supporting_ids`; `shown` is how many passages the agent reads a turn, `most_searches` how often
    it may search.
    """

    recall_at: Sequence[int]
    shown: int
    most_searches: int
    values: dict[str, array] = field(default_factory=lambda: {key: array("d") for key in OUTCOMES})
    chains: dict[Hashable, int] = field(default_factory=dict)  # -> its position
    chain_of: array = field(default_factory=lambda: array("q"))  # number of its chain, by question
    unanswered: int = 0
    recall: dict[str, Hits] = field(default_factory=dict)
    first_query_recall: dict[str, Hits] = field(default_factory=dict)
    found: Hits = field(default_factory=Hits)
    answer_recall: dict[str, Hits] = field(default_factory=dict)
    answer_found: Hits | None = None

    def add(self, row: Trajectory) -> None:
        """One more question."""
        for key, values in self.values.items():
            values.append(float(getattr(row, key)))
        shared = chain(row.supporting_ids) or row.id
        self.chain_of.append(self.chains.setdefault(shared, len(self.chains)))
        self.unanswered += row.answer is None
        support = row.supporting_ids or []
        asked = [turn.ranked for turn in row.turns if turn.ranked is not None]
        for k in self.recall_at:
            for kept, hits in (
                (self.recall, hop_hits),
                (self.first_query_recall, first_query_hits),
            ):
                kept.setdefault(str(k), Hits()).add(hits(support, asked, k))
        self.found.add(found_hits(support, asked, self.shown))

    def add_answers(self, positions: Positions | None) -> None:
        """Where that question's queries found a gold answer (stages/evaluation/bearing.py)."""
        for k in self.recall_at:
            kept = self.answer_recall.setdefault(str(k), Hits())
            kept.add([] if positions is None else [within(positions, k)])
        self.answer_found = self.answer_found or Hits()
        self.answer_found.add([] if positions is None else [within(positions, self.shown)])

    def result(self) -> SetResult:
        """EM, F1 (both 0 to 1) and searches per question with 95 % intervals, the share of
        questions without an answer, and recall: that of answers where `add_answers` told of it.
        """
        told = {key: fmean(values) for key, values in self.values.items()}
        for key, values in self.values.items():
            most = self.most_searches if key == "searches" else 1
            told |= zip((f"{key}_low", f"{key}_high"), self._ends(values, most), strict=True)
        answers = {}
        if self.answer_found is not None:
            answers = {
                "answer_recall": _shares(self.answer_recall),
                "answer_found": self.answer_found.share,
            }
        return SetResult(
            questions=len(self.chain_of),
            unanswered=self.unanswered / len(self.chain_of),
            recall=_shares(self.recall),
            first_query_recall=_shares(self.first_query_recall),
            found=self.found.share,
            **told,
            **answers,
        )

    def metrics(self) -> dict:
        """The result as a file has it."""
        return self.result().row()

    def _ends(self, values: array, most: float) -> tuple[float, float]:
        """The interval of their mean over fact chains, cut at 0 and `most`; all of it where there
        is one chain, which says nothing of others."""
        import numpy as np

        if len(self.chains) < 2:
            return 0.0, float(most)
        counts = np.bincount(self.chain_of)
        found = clustered(np.bincount(self.chain_of, weights=values), counts)
        low, high = np.clip(found.bounds(), 0, most)
        return float(low), float(high)


def metrics_of(params: Params) -> SetMetrics:
    """The figures of a set of no question yet, as the parameters ask for them."""
    rollout = params.rollout
    return SetMetrics(params.evaluate.recall_at, rollout.top_k, rollout.max_searches)


def _shares(hits: dict[str, Hits]) -> dict[str, float | None]:
    return {k: each.share for k, each in hits.items()}
