"""How many queries have a visit, and why the others have none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from stages.common.visits import QueryVisits


@dataclass
class VisitCounts:
    """Sums over queries so far."""

    sums: Counter[str] = field(default_factory=Counter)
    without: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)  # of a visit tool that are no visits

    def add(self, row: dict, exact: QueryVisits, found: QueryVisits) -> None:
        """Count one more: the row of its finder, its visits, and those that are left of them."""
        self.sums["in"] += 1
        if exact.visits is None:
            return
        self.sums["retries"] += row["retries"]
        self.sums["asked"] += row["asked"]
        self.unread.update(each["reason"] for each in row["failed"])
        if not exact.visits and not row["failed"]:
            self.without[row["why"]] += 1
        self.calls["again"] += row.get("again", 0)
        self.calls["elsewhere"] += len(exact.elsewhere)
        if exact.rejected is not None:
            self.calls["rejected"] += len(exact.rejected)
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
            **({"calls": calls} if (calls := dict(+self.calls)) else {}),
        }
