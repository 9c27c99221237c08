"""The report's checks: do the counts of every stage add up, and is there a failure signature?"""

from __future__ import annotations

from dataclasses import dataclass

from stages.metrics.health import Signature
from stages.reporting.results import ITERATION_STAGES, Results
from stages.rollout.limits import limits_told


@dataclass(frozen=True)
class Account:
    """What one stage of one iteration took in, put out and dropped, by reason."""

    stage: str
    iteration: str
    taken: int
    kept: int
    dropped: dict[str, int]

    @property
    def balanced(self) -> bool:
        """in = out + dropped."""
        return self.taken == self.kept + sum(self.dropped.values())


def accounts(results: Results) -> list[Account]:
    """One account for each stage that counts, iteration by iteration in the order of the method."""
    found = []
    for iteration in results.iterations:
        for stage in ITERATION_STAGES:
            row = results.stages[stage][iteration]
            if "in" in row and "out" in row:
                dropped = row.get("dropped", {})
                found.append(Account(stage, iteration, row["in"], row["out"], dropped))
    return found


def limits(results: Results) -> list[str]:
    """A sentence for each iteration in whose trajectories limits told (stages/trajectories.py)."""
    return [
        f"Iteration {k}: " + "; ".join(limits_told(results.stages["trajectories"][k])) + "."
        for k in results.iterations
        if "limits" in results.stages["trajectories"][k]
    ]


def warnings(results: Results) -> list[str]:
    """One sentence for each failure signature (stages/health.py) that showed."""
    return [
        f"Iteration {iteration}: {sentence}."
        for iteration in results.iterations
        for sentence in results.health(iteration).shown
    ]


def selection_rate(results: Results, iteration: str) -> float | None:
    """Share of queries that gave a positive, as stages/pairs.py counted it."""
    return results.stages["pairs"][iteration].get("positive_selection_rate")


def every_signature(results: Results) -> list[tuple[str, Signature]]:
    """(iteration, signature) of every signature of every iteration."""
    return [(k, each) for k in results.iterations for each in results.health(k).signatures]
