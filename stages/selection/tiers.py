"""Negatives from what the agent used, in tiers (ITER, arXiv 2608.27912).

A visit is a passage that the agent used after the search that showed it. What it had used before
and asks on from is redundant now; what this search returned and the agent never used is weak, and
fills up. `retriever.tier_weights` weighs them.

ITER has a third tier, hard: visits that a verifier rejects. No visit here is one: `restated` and
`judged` name what was used alone, and what `visits.false` adds nobody knows to be false.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from stages.common.candidates import QueryCandidates
from stages.common.visits import TogetherVisits
from stages.selection.rule import FEW_NEGATIVES, Selection

MOST = 3  # of redundancy


def in_tiers(
    chosen: Selection, query: QueryCandidates, seen: TogetherVisits, total: int
) -> Selection:
    """`chosen` by visits, with at most `total` negatives in tiers.

    Returned is what the agent was shown, then (ours: it is shown few) the query's other candidates.
    """
    if chosen.dropped is not None:
        return chosen
    turn, asked = seen.own.turn, query.query.request
    before = [each for each in seen.trajectory if each.turn < turn]
    again = [each for each, text in zip(before, asked.history) if text == asked.query]
    tiers = tiered_negatives(
        turn,
        {each.turn: each.visits or [] for each in seen.trajectory},
        [*seen.own.shown, *query.ids],
        {*chosen.tied, *(used for each in again for used in each.visits or [])},
        total,
    )
    if not tiers:
        return Selection([], chosen.tied, [], FEW_NEGATIVES)
    return replace(chosen, negatives=[*tiers], tiers=tiers)


def tiered_negatives(
    turn: int,
    visits: Mapping[int, Sequence[str]],
    returned: Sequence[str],
    positives: Collection[str],
    total: int,
) -> dict[str, str]:
    """Passage id -> tier of at most `total` negatives of one query: redundancy, then weak.

    `turn`: the query's, from 0. `visits`: by turn of its trajectory, the passages that the query
    there found and the agent used. `returned`: passages of the query, best first. `positives`: all
    known positives of this query, which are never its negatives; the query asked again has the
    same.

    ITER caps the tiers without saying which are kept: here the latest visits, and the best of what
    was returned.
    """
    taken, opened = set(positives), {passage for used in visits.values() for passage in used}
    before = [p for at in sorted(visits, reverse=True) if at < turn for p in visits[at]]
    redundancy = [p for p in dict.fromkeys(before) if p not in taken][: min(MOST, total)]
    never = [p for p in dict.fromkeys(returned) if p not in opened | taken]
    tiers = dict.fromkeys(redundancy, "redundancy")
    return tiers | dict.fromkeys(never[: total - len(tiers)], "weak")
