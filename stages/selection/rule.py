"""Selection of training pairs from GAC and LR (Agentic-R, step B6)."""

from __future__ import annotations

import random
from dataclasses import dataclass

NO_RELEVANT = "no_candidate_reaches_threshold"
NO_CORRECT = "no_correct_candidate_reaches_threshold"
FEW_NEGATIVES = "few_negatives"
REASONS = (NO_RELEVANT, NO_CORRECT, FEW_NEGATIVES)


@dataclass(frozen=True)
class Rule:
    """Sizes of an instance and the lowest LR of a positive."""

    threshold: int
    max_positives: int
    negatives: int


@dataclass(frozen=True)
class Selection:
    """Passage ids: `tied` are all candidates level with the top one, in rank order; `positives`
    the first of them; `negatives` drawn from the others. `dropped` says why there are none."""

    positives: list[str]
    tied: list[str]
    negatives: list[str]
    dropped: str | None = None


def select(
    candidates: list[str],
    relevance: dict[str, int] | None,
    correctness: dict[str, int] | None,
    rule: Rule,
    seed: int,
) -> Selection:
    """Positives and negatives of one query.

    `candidates` are passage ids in rank order. The top by (GAC desc, LR desc) needs GAC = 1 and
    LR >= threshold; all candidates tied with it are positives, at most `max_positives`, those of
    the better retrieval rank first (the paper's text leaves this order open). None for
    `relevance` or `correctness` leaves that signal out: the ablations "no LR" and "no GAC". A
    candidate without a GAC was left out by lazy evaluation and cannot be the top. The negatives
    are the same for all positives, in the order of the seeded draw.
    """

    def standing(candidate: str) -> tuple[int, int]:
        gac = 1 if correctness is None else correctness.get(candidate, 0)
        return gac, rule.threshold if relevance is None else relevance[candidate]

    if relevance is not None and max(relevance[c] for c in candidates) < rule.threshold:
        return Selection([], [], [], NO_RELEVANT)
    top = max(map(standing, candidates))
    if top < (1, rule.threshold):
        return Selection([], [], [], NO_CORRECT)
    tied = [c for c in candidates if standing(c) == top]
    others = [c for c in candidates if standing(c) != top]
    if len(others) < rule.negatives:
        return Selection([], tied, [], FEW_NEGATIVES)
    negatives = random.Random(seed).sample(others, rule.negatives)
    return Selection(tied[: rule.max_positives], tied, negatives)
