"""The report's section on query drift: how the agent's queries change over iterations.

The figures are those of the stage `drift`, of this run and of studies over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from stages.metrics import run
from stages.metrics.reading import read
from stages.reporting.predictions import Predictions
from stages.reporting.results import Results
from stages.reporting.study_rows import Drift

METRICS = {  # key of metrics/drift.json -> (what it is called, digits)
    "questions": ("Questions with a query", 0),
    "queries": ("Queries", 0),
    "words_per_query": ("Words per query", 2),
    "overlap_with_question": ("Share of the query's words that the question has", 2),
    "distance_to_question": ("Distance from query to question", 3),
    "queries_of_both_iterations": (
        "Queries that the iteration before has too, by question and place",
        0,
    ),
    "equal_to_previous_iteration": ("Share of them that are word for word the same", 2),
    "overlap_with_previous_iteration": ("Share of words that the earlier query has", 2),
    "distance_to_previous_iteration": ("Distance to the earlier query", 3),
}

MEANS = (  # figures of `Drift`
    "words_per_query",
    "same_query",
    "distance_to_question",
    "distance_to_previous_iteration",
    "em",
)


def read_drift(path: Path) -> dict[str, dict[str, float | None]]:
    """Iteration -> figure -> number; empty if nobody measured it."""
    return read(path) if path.exists() else {}


def check_drift(path: Path, drift: dict, results: Results, predictions: Predictions) -> None:
    """InputError unless the drift in the file `path` is that of this run's queries."""
    if not drift:
        return
    run.check_lock([path])
    iterations = {pair.agent: pair for pair in results.flywheel}
    if drift.keys() != iterations.keys():
        has, wanted = (", ".join(found) or "no iteration" for found in (drift, iterations))
        raise run.foreign(path, f"it has the iterations {has}, and the run {wanted}")
    for iteration, pair in iterations.items():
        asked = [row.queries for row in predictions[pair.name]]
        counts = {"queries": sum(asked), "questions": sum(number > 0 for number in asked)}
        for name, count in counts.items():
            if drift[iteration][name] != count:
                reason = (
                    f"'{name}' of iteration {iteration} is {drift[iteration][name]}, and {count}"
                )
                raise run.foreign(path, f"{reason} by the predictions of {pair.name}")


def drift_table(drift: dict) -> list[tuple[str, list[str]]]:
    """(name, cell of each iteration) of every figure that some iteration has, known ones first."""
    keys = dict.fromkeys([*METRICS, *(key for iteration in drift.values() for key in iteration)])
    rows = []
    for key in keys:
        name, digits = METRICS.get(key, (key.replace("_", " "), 3))
        values = [iteration.get(key) for iteration in drift.values()]
        if any(value is not None for value in values):
            rows.append((name, ["–" if v is None else f"{v:,.{digits}f}" for v in values]))
    return rows


@dataclass(frozen=True)
class DriftMean:
    """Means over the seeds of a variant's iteration; None where no seed has the figure."""

    variant: str
    iteration: str
    seeds: int
    metrics: dict[str, float | None]


def drift_means(rows: list[Drift]) -> list[DriftMean]:
    """One for each variant and iteration, in the order of the rows."""
    iterations: dict[tuple[str, str], list[Drift]] = {}
    for row in rows:
        iterations.setdefault((row.variant, row.iteration), []).append(row)
    return [
        DriftMean(*key, len({row.seed for row in found}), {m: _mean(found, m) for m in MEANS})
        for key, found in iterations.items()
    ]


def _mean(rows: list[Drift], name: str) -> float | None:
    values = [value for row in rows if (value := getattr(row, name)) is not None]
    return fmean(values) if values else None
