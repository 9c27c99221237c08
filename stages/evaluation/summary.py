"""The figures of one question set under one (agent, retriever) pair."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from stages.common.trajectories import Trajectory
from stages.evaluation.recall import Hits, first_query_hits, found_hits, hop_hits
from stages.params import Params
from stages.scoring import bootstrap_interval

OUTCOMES = ("em", "f1", "searches")


@dataclass
class SetFigures:
    """The figures of a question set, of trajectories that are added one by one; numbers are kept.

    Trajectories' turns carry `ranked` (passage ids of the turn's query, best first), and they carry
    `supporting_ids`; `shown` is how many passages the agent reads a turn. `seed` and `samples` are
    those of the intervals.
    """

    recall_at: Sequence[int]
    shown: int
    seed: int
    samples: int
    values: dict[str, array] = field(default_factory=lambda: {key: array("d") for key in OUTCOMES})
    unanswered: int = 0
    recall: dict[str, Hits] = field(default_factory=dict)
    first_query_recall: dict[str, Hits] = field(default_factory=dict)
    found: Hits = field(default_factory=Hits)

    def add(self, row: Trajectory) -> None:
        """One more question."""
        for key, values in self.values.items():
            values.append(float(getattr(row, key)))
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

    def metrics(self) -> dict:
        """EM, F1 (both 0 to 1) and searches per question with 95 % bootstrap intervals, the share
        of questions without an answer, and the recall of gold passages.
        """
        questions = len(self.values["em"])
        metrics: dict = {"questions": questions}
        for key, values in self.values.items():
            low, high = bootstrap_interval(values, self.seed, self.samples)
            metrics |= {key: fmean(values), f"{key}_low": low, f"{key}_high": high}
        return metrics | {
            "unanswered": self.unanswered / questions,
            "recall": {k: hits.share for k, hits in self.recall.items()},
            "first_query_recall": {k: hits.share for k, hits in self.first_query_recall.items()},
            "found": self.found.share,
        }


def figures_of(params: Params) -> SetFigures:
    """The figures of a set of no question yet, as the parameters ask for them."""
    block = params.evaluate
    return SetFigures(block.recall_at, params.rollout.top_k, params.seed, block.bootstrap_samples)


def summarise(
    rows: Iterable[Trajectory], *, recall_at: Sequence[int], shown: int, seed: int, samples: int
) -> dict:
    """The figures of trajectories of one set; see SetFigures."""
    figures = SetFigures(recall_at, shown, seed, samples)
    for row in rows:
        figures.add(row)
    return figures.metrics()
