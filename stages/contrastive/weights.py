"""Weights of instances and of their negatives in the contrastive loss.

Of negatives by tier, as ITER has them (arXiv 2608.27912): a negative of weight W counts W times for
its own query. Of instances by the reasoning that followed the positive, as LRAT has them
(arXiv 2604.04949): what an agent reasons long about was of use to it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median

from stages.common.instances import TIERS
from stages.contrastive.rows import TrainingRow
from stages.params import Retriever, TierWeights
from stages.plumbing.errors import InputError


def row_weights(
    rows: Sequence[TrainingRow], block: Retriever, path: str | Path
) -> list[list[float]] | None:
    """A list a row: the instance's weight, then its negatives'; None where the parameters ask for
    neither.

    InputError if `path`, which the rows are from, lacks what the weights are made of.
    """
    if block.tier_weights is None and not block.instance_weights:
        return None
    own = [1.0] * len(rows)
    if block.instance_weights:
        own = reasoning_weights(_reasoning(rows, path), path)
    negatives = [[1.0] * len(row.tiers) for row in rows]
    if block.tier_weights is not None:
        negatives = [_of_tiers(row, block.tier_weights, path) for row in rows]
    return [[weight, *others] for weight, others in zip(own, negatives)]


def reasoning_weights(lengths: Sequence[int], path: str | Path = "pairs") -> list[float]:
    """(1 - exp(-ln 2 * l / beta)) of each length l, beta being their median, divided by the mean.

    At the median that is a half, before the division. InputError if the median is 0.
    """
    beta = median(lengths)
    if not beta:
        raise InputError(
            f"{path}: half of the instances or more have no reasoning after their positive, so "
            "their median weighs nothing: set 'retriever.instance_weights' to false"
        )
    raw = [1 - math.exp(-math.log(2) * length / beta) for length in lengths]
    average = mean(raw)
    return [weight / average for weight in raw]


def weighed(rows: Sequence[TrainingRow], block: Retriever) -> dict:
    """Counts of what the weights are made of, none where the parameters ask for none: negatives by
    tier, and instances that nothing follows, whose weight is 0."""
    counts: dict = {}
    if block.tier_weights is not None:
        found = Counter(tier for row in rows for tier in row.tiers)
        counts["tiers"] = {tier: found[tier] for tier in TIERS}
    if block.instance_weights:
        counts["without_reasoning"] = sum(row.reasoning == 0 for row in rows)
    return counts


def _reasoning(rows: Sequence[TrainingRow], path: str | Path) -> list[int]:
    for row in rows:
        if row.reasoning is None:
            raise InputError(
                f"{path}: an instance of '{row.query_id}' has no 'reasoning', which "
                "'retriever.instance_weights' weighs: only positives that the agent used have it"
            )
    return [row.reasoning for row in rows]


def _of_tiers(row: TrainingRow, weights: TierWeights, path: str | Path) -> list[float]:
    if None in row.tiers:
        raise InputError(
            f"{path}: a negative of '{row.query_id}' has no 'tier', which "
            "'retriever.tier_weights' weighs: only negatives from the agent's visits have one"
        )
    return [getattr(weights, tier) for tier in row.tiers]
