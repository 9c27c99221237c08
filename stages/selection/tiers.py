"""Negatives from what the agent used, in tiers (ITER, arXiv 2608.27912).

A visit is a passage that the agent used after the search that showed it. What it had used before
and asks on from is redundant now; what it had opened before and a verifier rejected is hard; what
this search returned and the agent never opened is weak, and fills up. `retriever.tier_weights`
weighs them.

Hard needs `visits.verify`, so an agent with a visit tool: `restated` and `judged` name what was
used alone, and what `visits.false` adds nobody knows to be false.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from stages.common.candidates import QueryCandidates
from stages.common.visits import TogetherVisits
from stages.selection.rule import FEW_NEGATIVES, Selection

MOST = 3  # of redundancy, and of hard


def in_tiers(
    chosen: Selection, query: QueryCandidates, seen: TogetherVisits, total: int
) -> Selection:
    """`chosen` by visits, with at most `total` negatives in tiers.

    Returned is what the agent was shown, then (ours: it is shown few) the query's other candidates,
    without what it went back to after a later search: that is no visit, yet it was opened.
    """
    if chosen.dropped is not None:
        return chosen
    turn, asked = seen.own.turn, query.query.request
    before = [each for each in seen.trajectory if each.turn < turn]
    again = [each for each, text in zip(before, asked.history) if text == asked.query]
    elsewhere = {*chain.from_iterable(each.elsewhere for each in seen.trajectory)}
    tiers = tiered_negatives(
        turn,
        {each.turn: each.visits or [] for each in seen.trajectory},
        [each for each in [*seen.own.shown, *query.ids] if each not in elsewhere],
        {*chosen.tied, *(used for each in again for used in each.visits or [])},
        total,
        {each.turn: each.rejected or [] for each in seen.trajectory},
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
    rejected: Mapping[int, Sequence[str]] | None = None,
) -> dict[str, str]:
    """Passage id -> tier of at most `total` negatives of one query: redundancy, hard, then weak.

    `turn`: the query's, from 0. `visits`: by turn of its trajectory, the passages that the query
    there found and the agent used, `rejected` those that it opened and did not use. `returned`:
    passages of the query, best first. `positives`: all known positives of this query, which are
    never its negatives; the query asked again has the same.

    ITER caps the tiers without saying which are kept: here the latest visits, and the best of what
    was returned.
    """
    rejected, taken = rejected or {}, set(positives)
    opened = {*chain.from_iterable(visits.values()), *chain.from_iterable(rejected.values())}
    tiers: dict[str, str] = {}
    for tier, found in (("redundancy", visits), ("hard", rejected)):
        before = [p for at in sorted(found, reverse=True) if at < turn for p in found[at]]
        fresh = [p for p in dict.fromkeys(before) if p not in taken and p not in tiers]
        tiers |= dict.fromkeys(fresh[: min(MOST, total - len(tiers))], tier)
    never = [p for p in dict.fromkeys(returned) if p not in opened | taken]
    return tiers | dict.fromkeys(never[: total - len(tiers)], "weak")
