"""Recall of gold passages by the queries that an agent asked.

A question says in `metadata["supporting_ids"]` which passages support it: one list of passage ids
a hop, any one of which will do. Where a data set names supporting articles by title, these are all
passages of the title, with the answer in them or without: title recall. A ranking is the list of
passage ids that a retriever gave for one query, best first. All figures are means over hops (a
question of three hops weighs three times), and None where no question of the set names its
supporting passages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Rankings = Sequence[Sequence[str]]  # of one question: one ranking a query, in the order asked
Support = Sequence[Sequence[str]]  # of one question: one list of passage ids a hop


@dataclass
class Hits:
    """How many hops (or questions) there were, and how many had their passage found."""

    hops: int = 0
    met: int = 0

    def add(self, hits: Sequence[bool]) -> None:
        """One more question: whether each of its hops was met."""
        self.hops += len(hits)
        self.met += sum(hits)

    @property
    def share(self) -> float | None:
        """The share that was found."""
        return self.met / self.hops if self.hops else None


def hop_hits(hops: Support, asked: Rankings, k: int) -> list[bool]:
    """Whether each hop's passage is in the top `k` of the query asked at that turn.

    Hop h belongs to query h. A hop at whose turn nothing was asked counts as a miss, as a topic
    without results does at TREC: the figure is that of the pair of agent and retriever.
    """
    return [turn < len(asked) and _meets(hop, asked[turn][:k]) for turn, hop in enumerate(hops)]


def found_hits(hops: Support, asked: Rankings, k: int) -> list[bool]:
    """Whether each hop's passage is in the top `k` of any query: with the k that the agent is
    shown, what it had the chance to read, second attempts included."""
    return [any(_meets(hop, ranking[:k]) for ranking in asked) for hop in hops]


def first_query_hits(hops: Support, asked: Rankings, k: int) -> list[bool]:
    """Whether each hop's passage is in the top `k` of the first query: for data sets that name
    supporting passages without their order."""
    return found_hits(hops, asked[:1], k)


def first_query_recall(
    support: Iterable[Support], rankings: Iterable[Rankings], k: int
) -> float | None:
    """The share of all hops by `first_query_hits`, over questions."""
    total = Hits()
    for hops, asked in zip(support, rankings, strict=True):
        total.add(first_query_hits(hops, asked, k))
    return total.share


def _meets(hop: Sequence[str], ranking: Sequence[str]) -> bool:
    return not set(hop).isdisjoint(ranking)
