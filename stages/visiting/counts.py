"""How many queries have a visit, and why the others have none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from stages.common.visits import QueryVisits
from stages.visiting.told import NONE_USED


@dataclass
class VisitCounts:
    """Sums over queries so far."""

    sums: Counter[str] = field(default_factory=Counter)
    without: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)

    def add(self, row: dict, exact: QueryVisits, found: QueryVisits) -> None:
        """Count one more: the row of its finder, its visits, and those that are left of them."""
        self.sums["in"] += 1
        if exact.visits is None:
            return
        self.sums["retries"] += row["retries"]
        self.sums["asked"] += row["why"] == NONE_USED  # a thought is there to judge by
        if row["failed"]:
            self.unread[row["failed"]["reason"]] += 1
        elif not exact.visits:
            self.without[row["why"]] += 1
        self.sums["visited"] += bool(found.visits)
        self.sums["visited_and_right"] += bool(found.trusted)
        self.sums["taken_away"] += bool({*exact.visits} - {*found.visits})
        self.sums["added"] += bool({*found.visits} - {*exact.visits})

    def metrics(self, looked: bool) -> dict:
        """As the metrics file has them; `looked`: whether visits were looked for at all."""
        counts = {"in": self.sums["in"], "out": self.sums["in"], "dropped": {}}
        if not looked:
            return counts
        keys = ("visited", "visited_and_right", "taken_away", "added", "retries")
        return {
            **counts,
            **{key: self.sums[key] for key in keys},
            "without": dict(sorted(self.without.items())),
            "unread": dict(sorted(self.unread.items())),
        }
