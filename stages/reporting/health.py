"""Does every stage account for what it was given, and does a failure signature show?

The signatures are those of Agentic-R: searches per question rise instead of falling; the positive
selection rate collapses ("GAC collapse"); a later turn is worse than the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from stages.reporting.results import TURN_STAGES, Results

COLLAPSE = 0.5  # a selection rate under this share of the turn before is called a collapse


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


def warnings(results: Results) -> list[str]:
    """One sentence for each thing that a reader should look at; empty when all is well."""
    found = [
        f"{account.stage} of turn {account.turn} does not balance: {account.taken} in, "
        f"{account.kept} out, {sum(account.dropped.values())} dropped."
        for account in accounts(results)
        if not account.balanced
    ]
    return found + _turn_warnings(results) + _selection_warnings(results)


def _turn_warnings(results: Results) -> list[str]:
    found = []
    for before, after in pairwise(results.flywheel):
        if after.mean("em") < before.mean("em"):
            found.append(
                f"{after.label} answers fewer questions than {before.label}: mean EM "
                f"{100 * after.mean('em'):.1f} after {100 * before.mean('em'):.1f}."
            )
        if after.mean("searches") > before.mean("searches"):
            found.append(
                f"{after.label} searches more than {before.label}: "
                f"{after.mean('searches'):.2f} a question after {before.mean('searches'):.2f}."
            )
    return found


def _selection_warnings(results: Results) -> list[str]:
    rates = [(turn, selection_rate(results, turn)) for turn in results.turns]
    return [
        f"GAC collapse: {100 * now:.0f} % of queries give a positive in turn {turn}, "
        f"{100 * before:.0f} % in turn {previous}."
        for (previous, before), (turn, now) in pairwise(rates)
        if before and now is not None and now < COLLAPSE * before
    ]


def selection_rate(results: Results, turn: str) -> float | None:
    """Share of queries that gave a positive, as stages/pairs.py counted it."""
    return results.stages["pairs"][turn].get("positive_selection_rate")
