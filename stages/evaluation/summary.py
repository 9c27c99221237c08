"""The figures of one question set under one (agent, retriever) pair."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from stages.common.trajectories import Trajectory
from stages.evaluation.recall import first_query_recall, found_share, hop_recall
from stages.scoring import bootstrap_interval


def summarise(
    rows: Sequence[Trajectory], *, recall_at: Sequence[int], shown: int, seed: int, samples: int
) -> dict:
    """EM, F1 (both 0 to 1) and searches per question with 95 % bootstrap intervals, the share of
    questions without an answer, and the recall of gold passages.

    `rows` are trajectories whose turns carry `ranked` (passage ids of the turn's query, best
    first) and which carry `supporting_ids`; `shown` is how many passages the agent reads a turn.
    """
    metrics: dict = {"questions": len(rows)}
    for key in ("em", "f1", "searches"):
        values = [float(getattr(row, key)) for row in rows]
        low, high = bootstrap_interval(values, seed, samples)
        metrics |= {key: fmean(values), f"{key}_low": low, f"{key}_high": high}
    metrics["unanswered"] = fmean(row.answer is None for row in rows)
    return metrics | _recall(rows, recall_at, shown)


def _recall(rows: Sequence[Trajectory], recall_at: Sequence[int], shown: int) -> dict:
    support = [row.supporting_ids or [] for row in rows]
    rankings = [[turn.ranked for turn in row.turns if turn.ranked is not None] for row in rows]
    return {
        "recall": {str(k): hop_recall(support, rankings, k) for k in recall_at},
        "first_query_recall": {str(k): first_query_recall(support, rankings, k) for k in recall_at},
        "found": found_share(support, rankings, shown),
    }
