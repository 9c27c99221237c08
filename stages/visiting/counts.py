"""How many queries have a visit, and why the others have none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from stages.common.visits import QueryVisits
from stages.visiting.found import FoundVisits


@dataclass
class VisitCounts:
    """Sums over queries so far."""

    sums: Counter[str] = field(default_factory=Counter)
    without: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)  # of a visit tool that are no visits

    def add(self, found: FoundVisits, left: QueryVisits) -> None:
        """Count one more: what was found, and the visits that are left of it."""
        exact = found.visits
        self.sums["in"] += 1
        if exact.visits is None:
            return
        self.sums["retries"] += found.retries
        self.sums["asked"] += found.asked
        self.unread.update(each["reason"] for each in found.failed)
        if not exact.visits and not found.failed:
            self.without[found.why] += 1
        self.calls["again"] += found.again
        self.calls["elsewhere"] += len(exact.elsewhere)
        if exact.rejected is not None:
            self.calls["rejected"] += len(exact.rejected)
        self.sums["visited"] += bool(left.visits)
        self.sums["visited_and_right"] += bool(left.trusted)
        self.sums["taken_away"] += bool({*exact.visits} - {*left.visits})
        self.sums["added"] += bool({*left.visits} - {*exact.visits})

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
