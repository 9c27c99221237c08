"""Count how often limits ended or cut a rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stages.common.trajectories import Turn


def limited(turns: list[Turn], stop: str | None) -> dict[str, int]:
    """Observations of a rollout that were cut, turns that were refused (a visit of what was not
    listed is one), and whether the context had no room for another turn, which loses the question.
    """
    acted = (turn.query is not None or turn.opened is not None for turn in turns)
    refused = (not did and bool(t.information) for did, t in zip(acted, turns, strict=True))
    return {
        "cut": sum(turn.cut for turn in turns),
        "refused": sum(refused),
        "lost": int(stop == "length"),
    }


def limits_told(metrics: dict, least: float = 0.0) -> list[str]:
    """Which limits told on more than the share `least`, from metrics/trajectories/K.json."""
    told = metrics.get("limits", {})
    queries, visits, asked = (metrics.get(key, 0) for key in ("queries", "visits", "out"))
    observed = "searches and visits" if visits else "searches"
    counts = {
        "cut": (f"observations were cut, of {{}} {observed}", queries + visits),
        "refused": ("turns were refused, in {} trajectories", asked),
        "lost": ("questions were lost to a full context, of {}", asked),
    }
    return [
        f"{told[key]} {what.format(whole)}"
        for key, (what, whole) in counts.items()
        if told.get(key, 0) > least * whole
    ]
