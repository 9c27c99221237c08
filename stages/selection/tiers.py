"""Negatives from what the agent opened, in tiers (ITER, arXiv 2608.27912).

A visit is a passage that the agent used after the search that showed it. What it had used before
and asks on from is redundant now; what it had opened and found useless is hard; what this search
returned and was never opened is weak, and fills up. `retriever.tier_weights` weighs them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from stages.common.trajectories import Trajectory

MOST, ALL = 3, 9  # of redundancy and of hard, each; of all three


def tiered_negatives(
    turn: int,
    visits: Mapping[int, Sequence[str] | None],
    rejected: Collection[tuple[int, str]],
    returned: Sequence[str],
    positives: Collection[str],
    *,
    most: int = MOST,
    total: int = ALL,
) -> dict[str, str]:
    """Passage id -> tier of the negatives of one query: redundancy, then hard, then weak.

    `turn`: the query's, from 0. `visits`: by turn of its trajectory, the passages that the query
    there found and the agent used; none, None or no key where there are none. `rejected`: visits,
    as (turn, passage), that a verifier calls irrelevant; the others are accepted. `returned`:
    passages of the query, best first. `positives`: all known positives of this query, which are
    never its negatives; the query asked again has the same.

    A passage visited twice counts as accepted if it once was. ITER caps the tiers without saying
    which are kept: here the latest visits, and the best of what was returned.
    """
    taken, every = set(positives), [(at, p) for at, used in visits.items() for p in used or ()]
    before = sorted((visit for visit in every if visit[0] < turn), key=lambda v: -v[0])
    accepted = {passage for at, passage in before if (at, passage) not in rejected}
    ordered = [p for p in dict.fromkeys(p for _, p in before) if p not in taken]
    redundancy = [p for p in ordered if p in accepted][:most]
    hard = [p for p in ordered if p not in accepted][:most]
    opened = {passage for _, passage in every}
    never = [p for p in dict.fromkeys(returned) if p not in opened | taken]
    tiers = dict.fromkeys(redundancy, "redundancy") | dict.fromkeys(hard, "hard")
    return tiers | dict.fromkeys(never[: max(0, total - len(tiers))], "weak")


def reasoning_after(trajectory: Trajectory, turn: int) -> int:
    """Words of the agent's next thought, after what the query of `turn` found; 0 without one.

    LRAT counts tokens. Its weights depend on the ratio to the median alone, so that words, which
    need no tokenizer, do as well in languages that write them apart.
    """
    following = trajectory.turns[turn + 1 : turn + 2]
    return sum(len(each.thought.split()) for each in following)
