"""Recall of gold passages by the queries that an agent asked.

A question says in `metadata["supporting_ids"]` which passages support it: one list of passage ids
a hop, any one of which will do. A ranking is the list of passage ids that a retriever gave for one
query, best first. All figures are means over hops (a question of three hops weighs three times),
and None where no question of the set names its supporting passages.
"""

from __future__ import annotations

from collections.abc import Sequence

Rankings = Sequence[Sequence[str]]  # of one question: one ranking a query, in the order asked
Support = Sequence[Sequence[str]]  # of one question: one list of passage ids a hop


def hop_recall(support: Sequence[Support], rankings: Sequence[Rankings], k: int) -> float | None:
    """Share of hops whose passage is in the top `k` of the query asked at that turn.

    Hop h belongs to query h. A hop at whose turn nothing was asked counts as a miss, as a topic
    without results does at TREC: the figure is that of the pair of agent and retriever.
    """
    hits = [
        turn < len(asked) and _meets(hop, asked[turn][:k])
        for hops, asked in zip(support, rankings, strict=True)
        for turn, hop in enumerate(hops)
    ]
    return _mean(hits)


def found_share(support: Sequence[Support], rankings: Sequence[Rankings], k: int) -> float | None:
    """Share of hops whose passage is in the top `k` of any query: with the k that the agent is
    shown, what it had the chance to read, second attempts included."""
    hits = [
        any(_meets(hop, ranking[:k]) for ranking in asked)
        for hops, asked in zip(support, rankings, strict=True)
        for hop in hops
    ]
    return _mean(hits)


def first_query_recall(
    support: Sequence[Support], rankings: Sequence[Rankings], k: int
) -> float | None:
    """Share of hops whose passage is in the top `k` of the first query: for data sets that name
    supporting passages without their order."""
    return found_share(support, [asked[:1] for asked in rankings], k)


def _meets(hop: Sequence[str], ranking: Sequence[str]) -> bool:
    return not set(hop).isdisjoint(ranking)


def _mean(hits: list[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None
