"""Selection of training pairs from GAC and LR (Agentic-R, step B6), from what an agent used, or
from the judge's ranking alone."""

from __future__ import annotations

import random
from dataclasses import dataclass

from stages.common.visits import QueryVisits
from stages.params import Pairs, PairSource

NO_RELEVANT = "no_candidate_reaches_threshold"
NO_CORRECT = "no_correct_candidate_reaches_threshold"
FEW_NEGATIVES = "few_negatives"
WRONG_ANSWER = "trajectory_not_right"
NO_VISIT = "no_visit"
NOTHING_SHOWN = "nothing_shown"
NOT_DRAWN = "not_drawn"
OF_VISITS = (PairSource.visits, PairSource.visits_then_gac)  # positives: what the agent used
_BY_GAC = (NO_RELEVANT, NO_CORRECT, FEW_NEGATIVES)
REASONS = {
    PairSource.gac: _BY_GAC,
    PairSource.visits: (WRONG_ANSWER, NO_VISIT, FEW_NEGATIVES),
    PairSource.visits_then_gac: _BY_GAC,
    PairSource.random_shown: (NOTHING_SHOWN, FEW_NEGATIVES),
    PairSource.judge_ranking: (WRONG_ANSWER, FEW_NEGATIVES),
}


def reasons(rule: Pairs) -> tuple[str, ...]:
    """Why a query may give no pair, by where the positives come from."""
    drawn = () if rule.instances is None else (NOT_DRAWN,)
    return REASONS[rule.source] + drawn


def most_positives(rule: Pairs) -> int:
    """How many positives a query gives at most: of a ranking, the first alone."""
    return 1 if rule.source is PairSource.judge_ranking else rule.max_positives


@dataclass(frozen=True)
class Selection:
    """Passage ids: `tied` are all candidates level with the top one, in rank order; `positives`
    the first of them; `negatives` drawn from the others, with `tiers` by id where they have some.
    `dropped` says why there are none, `visited` whether the positives are what the agent used,
    `reasoning` how many words it thought after that, where weights ask for it."""

    positives: list[str]
    tied: list[str]
    negatives: list[str]
    dropped: str | None = None
    visited: bool = False
    tiers: dict[str, str] | None = None
    reasoning: int | None = None


def select(
    candidates: list[str],
    relevance: dict[str, int] | None,
    correctness: dict[str, int] | None,
    rule: Pairs,
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


def select_observed(
    candidates: list[str], seen: QueryVisits, rule: Pairs, seed: int
) -> Selection | None:
    """Positives and negatives of one query by what the agent did; None leaves it to GAC.

    `visits`, as LRAT's paper: the positives are what the agent used in a trajectory that ended
    right, the negatives the rest of what it was shown. `random_shown`: the same with a positive by
    chance, of any trajectory. Where the agent was shown fewer than `negatives` others, as is usual
    here, the rest is drawn from the other candidates (ours), so that instances are of one size.
    `visits_then_gac`: positives as in `visits`, negatives as GAC's are drawn, and None where there
    is no such visit.
    """
    if rule.source is PairSource.random_shown:
        if not seen.shown:
            return Selection([], [], [], NOTHING_SHOWN)
        chance = random.Random(seed).choice(seen.shown)
        return _around([chance], candidates, seen.shown, rule, seed)
    if rule.source is PairSource.visits_then_gac:
        return _around(seen.trusted, candidates, [], rule, seed, True) if seen.trusted else None
    if not seen.em:
        return Selection([], [], [], WRONG_ANSWER)
    if not seen.trusted:
        return Selection([], [], [], NO_VISIT)
    return _around(seen.trusted, candidates, seen.shown, rule, seed, True)


def select_ranked(
    candidates: list[str], relevance: dict[str, int], seen: QueryVisits, rule: Pairs
) -> Selection:
    """Positive and negatives of one query by the judge's ranking, as AgentIR (arXiv 2603.04384).

    Of a trajectory that ended right: the positive is the first of the ranking, whatever its grade,
    the negatives its last `negatives`, in its order. The ranking (ours) is by LR, descending, equal
    grades in the retriever's order; what has the first's grade is none of its negatives.
    """
    if not seen.em:
        return Selection([], [], [], WRONG_ANSWER)
    ranking = sorted(candidates, key=lambda c: -relevance[c])
    tied = [c for c in ranking if relevance[c] == relevance[ranking[0]]]
    others = ranking[len(tied) :]
    if len(others) < rule.negatives:
        return Selection([], tied, [], FEW_NEGATIVES)
    return Selection(tied[: most_positives(rule)], tied, others[-rule.negatives :])


def _around(
    positives: list[str],
    candidates: list[str],
    first: list[str],
    rule: Pairs,
    seed: int,
    visited: bool = False,
) -> Selection:
    """A selection with these positives: of negatives those of `first`, then drawn candidates."""
    head = [one for one in first if one not in positives][: rule.negatives]
    others = [one for one in candidates if one not in positives and one not in head]
    left = rule.negatives - len(head)
    if len(others) < left:
        return Selection([], positives, [], FEW_NEGATIVES)
    negatives = head + random.Random(seed).sample(others, left)
    return Selection(positives[: rule.max_positives], positives, negatives, visited=visited)
