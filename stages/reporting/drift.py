"""The report's section on query drift: how the agent's queries change over turns.

The figures are those of the stage `drift`, of this run and of studies over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from stages.metrics import run
from stages.metrics.reading import read
from stages.reporting.predictions import Predictions
from stages.reporting.results import Results
from stages.reporting.studies import Drift

FIGURES = {  # key of metrics/drift.json -> (what it is called, digits)
    "questions": ("Questions with a query", 0),
    "queries": ("Queries", 0),
    "words_per_query": ("Words per query", 2),
    "overlap_with_question": ("Share of the query's words that the question has", 2),
    "distance_to_question": ("Distance from query to question", 3),
    "queries_of_both_turns": ("Queries that the turn before has too, by question and place", 0),
    "equal_to_previous_turn": ("Share of them that are word for word the same", 2),
    "overlap_with_previous_turn": ("Share of words that the earlier query has", 2),
    "distance_to_previous_turn": ("Distance to the earlier query", 3),
}

MEANS = (  # figures of `Drift`
    "words_per_query",
    "same_query",
    "distance_to_question",
    "distance_to_previous_turn",
    "em",
)


def read_drift(path: Path) -> dict[str, dict[str, float | None]]:
    """Turn -> figure -> number; empty if nobody measured it."""
    return read(path) if path.exists() else {}


def check_drift(path: Path, drift: dict, results: Results, predictions: Predictions) -> None:
    """InputError unless the drift in the file `path` is that of this run's queries."""
    if not drift:
        return
    run.check_lock([path])
    turns = {pair.agent: pair for pair in results.flywheel}
    if drift.keys() != turns.keys():
        has, wanted = (", ".join(found) or "no turn" for found in (drift, turns))
        raise run.foreign(path, f"it has the turns {has}, and the run {wanted}")
    for turn, pair in turns.items():
        asked = [
            sum(step["query"] is not None for step in row["turns"])
            for row in predictions[pair.name]
        ]
        counts = {"queries": sum(asked), "questions": sum(number > 0 for number in asked)}
        for name, count in counts.items():
            if drift[turn][name] != count:
                reason = f"'{name}' of turn {turn} is {drift[turn][name]}, and {count} by the"
                raise run.foreign(path, f"{reason} predictions of {pair.name}")


def drift_table(drift: dict) -> list[tuple[str, list[str]]]:
    """(name, cell of each turn) of every figure that some turn has, known ones first."""
    keys = dict.fromkeys([*FIGURES, *(key for turn in drift.values() for key in turn)])
    rows = []
    for key in keys:
        name, digits = FIGURES.get(key, (key.replace("_", " "), 3))
        values = [turn.get(key) for turn in drift.values()]
        if any(value is not None for value in values):
            rows.append((name, ["–" if v is None else f"{v:.{digits}f}" for v in values]))
    return rows


@dataclass(frozen=True)
class DriftMean:
    """Means over the seeds of a variant's turn; None where no seed has the figure."""

    variant: str
    turn: str
    seeds: int
    figures: dict[str, float | None]


def drift_means(rows: list[Drift]) -> list[DriftMean]:
    """One for each variant and turn, in the order of the rows."""
    turns: dict[tuple[str, str], list[Drift]] = {}
    for row in rows:
        turns.setdefault((row.variant, row.turn), []).append(row)
    return [
        DriftMean(*key, len({row.seed for row in found}), {m: _mean(found, m) for m in MEANS})
        for key, found in turns.items()
    ]


def _mean(rows: list[Drift], name: str) -> float | None:
    values = [value for row in rows if (value := getattr(row, name)) is not None]
    return fmean(values) if values else None
