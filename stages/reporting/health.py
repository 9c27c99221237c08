"""The report's checks: do the counts of every stage add up, and is there a failure signature?"""

from __future__ import annotations

from dataclasses import dataclass

from stages.reporting.results import TURN_STAGES, Results
from stages.rollout.limits import limits_told


@dataclass(frozen=True)
class Account:
    """What one stage of one turn took in, put out and dropped, by reason."""

    stage: str
    turn: str
    taken: int
    kept: int
    dropped: dict[str, int]

    @property
    def balanced(self) -> bool:
        """in = out + dropped."""
        return self.taken == self.kept + sum(self.dropped.values())


def accounts(results: Results) -> list[Account]:
    """One account for each stage that counts, turn by turn in the order of the method."""
    found = []
    for turn in results.turns:
        for stage in TURN_STAGES:
            row = results.stages[stage][turn]
            if "in" in row and "out" in row:
                dropped = row.get("dropped", {})
                found.append(Account(stage, turn, row["in"], row["out"], dropped))
    return found


def limits(results: Results) -> list[str]:
    """A sentence for each turn in whose trajectories limits told: see stages/trajectories.py."""
    return [
        f"Turn {turn}: " + "; ".join(limits_told(results.stages["trajectories"][turn])) + "."
        for turn in results.turns
        if "limits" in results.stages["trajectories"][turn]
    ]


def warnings(results: Results) -> list[str]:
    """One sentence for each failure signature (stages/health.py) that showed."""
    return [
        f"Turn {turn}: {sentence}."
        for turn in results.turns
        for sentence in results.stages["health"][turn]["shown"]
    ]


def selection_rate(results: Results, turn: str) -> float | None:
    """Share of queries that gave a positive, as stages/pairs.py counted it."""
    return results.stages["pairs"][turn].get("positive_selection_rate")


def signatures(results: Results) -> list[dict]:
    """Every signature of every turn as stages/health.py wrote it, with its `turn`."""
    return [
        {"turn": turn, **signature}
        for turn in results.turns
        for signature in results.stages["health"][turn]["signatures"]
    ]
