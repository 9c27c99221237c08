"""Oracle ranking: of what the retriever found, the passages that lead to the right answer first.

At every query of a running rollout, GAC (Agentic-R, step B5) of its first `top` passages is found
by finishing the rollout with that one passage as its information. The first that are right, as many
as the agent is shown, come before the others; all keep the retriever's order among themselves. It
reads the gold answers, so it is no system: it bounds what another order of the same passages can
give to an agent that goes on as GAC supposes, with the retriever's own order after this query.

A query stops when so many are right, and tries no more at once than it still needs: what the agent
is shown is that of trying all, at the price of the rollouts that cannot be spared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stages.common.search import Hit, SearchRequest
from stages.gac.rollouts import Start
from stages.params import Rollout
from stages.rollout import loop


@dataclass
class OraclePrice:
    """What the ranking of one rollout's queries took. `unranked`: queries after which no turn is
    left; `with_right`: those with a right passage among the tried ones; `lost`: rollouts in which
    the agent did nothing, by reason (their 0 says nothing)."""

    queries: int = 0
    unranked: int = 0
    with_right: int = 0
    rollouts: int = 0
    right: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    def row(self) -> dict:
        """As a file has it, with the keys of metrics/correctness for tokens."""
        row = vars(self) | {"lost": dict(self.lost)}
        tokens = {"written_tokens": row.pop("completion_tokens")}
        return row | tokens | {"read_tokens": row.pop("prompt_tokens")}


@dataclass
class OracleSearch:
    """The search of rollouts that run together (loop.run), in the oracle's order.

    `search` is the retriever's own, `finish` gives the rows of rollouts (stages/gac/rollouts.py),
    in order; `limits` are those of `rollouts`. `prices`: one for each of them.
    """

    rollouts: Sequence[loop.RolloutState]
    search: loop.SearchFunction
    finish: Callable[[list[Start]], list[dict]]
    top: int
    limits: Rollout
    prices: list[OraclePrice] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.prices = [OraclePrice() for _ in self.rollouts]

    def __call__(self, requests: list[SearchRequest]) -> list[list[Hit]]:
        """What each of `requests` finds; they are those of all rollouts that wait, in order."""
        waiting = [n for n, rollout in enumerate(self.rollouts) if loop.waits(rollout)]
        found = [
            loop.new_results(self.rollouts[n], hits, self.limits)
            for n, hits in zip(waiting, self.search(requests), strict=True)
        ]
        right = self._right(dict(zip(waiting, found, strict=True)))
        return [
            [hits[position] for position in right[n]]
            + [hit for position, hit in enumerate(hits) if position not in right[n]]
            for n, hits in zip(waiting, found, strict=True)
        ]

    def _right(self, found: dict[int, list[Hit]]) -> dict[int, list[int]]:
        """By rollout, the positions of the first right passages, as many as are shown at most."""
        right: dict[int, list[int]] = {n: [] for n in found}
        tried = dict.fromkeys(found, 0)
        for n in found:
            self.prices[n].queries += 1
            self.prices[n].unranked += self._is_last(n)
        while True:
            asked = [
                (n, position)
                for n, hits in found.items()
                for position in self._next(n, tried[n], len(right[n]), len(hits))
            ]
            if not asked:
                break
            starts = [self._start(n, found[n][position]) for n, position in asked]
            for (n, position), row in zip(asked, self.finish(starts), strict=True):
                tried[n] += 1
                right[n] += [position] if row["em"] else []
                self._count(self.prices[n], row)
        for n, positions in right.items():
            self.prices[n].with_right += bool(positions)
        return right

    def _next(self, n: int, tried: int, right: int, found: int) -> range:
        """Positions that cannot be spared: after those tried, as many as are still to be right."""
        if self._is_last(n):
            return range(0)
        return range(tried, min(tried + self.limits.top_k - right, self.top, found))

    def _is_last(self, n: int) -> bool:
        most = self.limits.max_turns
        return most is not None and len(self.rollouts[n].turns) >= most

    def _start(self, n: int, hit: Hit) -> Start:
        rollout = self.rollouts[n]
        listed = tuple(rollout.listed.values())
        return Start(loop.record(rollout), len(rollout.turns) - 1, hit.passage, listed)

    @staticmethod
    def _count(price: OraclePrice, row: dict) -> None:
        price.rollouts += 1
        price.right += row["em"]
        price.prompt_tokens += row["prompt_tokens"]
        price.completion_tokens += row["completion_tokens"]
        price.lost.update([row["lost"]] if row["lost"] else [])


def add_up(rows: Sequence[dict]) -> dict:
    """The price of several rollouts from the rows of each."""
    sums: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for row in rows:
        sums.update({key: value for key, value in row.items() if key != "lost"})
        lost.update(row["lost"])
    return {key: sums[key] for key in OraclePrice().row() if key != "lost"} | {
        "lost": dict(sorted(lost.items()))
    }
