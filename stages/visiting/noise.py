"""Worse visits, to study how good they must be: some taken away, some that were none.

The made-up world's agent restates what it used, so its visits are exact, which no log of a real
agent is.
"""

from __future__ import annotations

import random
from dataclasses import replace

from stages.common.seeds import seed_of
from stages.common.visits import QueryVisits


def worsened(
    found: QueryVisits, miss: float, false: float, seed: int, iteration: str
) -> QueryVisits:
    """`found` without its visits, with probability `miss`, and with one of the shown passages that
    were not used, with probability `false`.

    Each lot is drawn by its own seed, which names the query: so it depends on no other query, and
    a larger share changes the same queries and more.
    """
    if found.visits is None:
        return found
    names = (iteration, found.id)
    missed = random.Random(seed_of(seed, "visits miss", *names)).random() < miss
    draw = random.Random(seed_of(seed, "visits false", *names))
    lot, others = draw.random(), [one for one in found.shown if one not in found.visits]
    added = [draw.choice(others)] if others and lot < false else []
    kept = [] if missed else found.visits
    visits = [one for one in found.shown if one in (*kept, *added)]
    if found.rejected is not None:
        found = replace(found, rejected=[one for one in found.rejected if one not in visits])
    return replace(found, visits=visits)
