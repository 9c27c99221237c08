"""Metrics as rows: for the report page, for `dvc metrics` and for `dvc plots`."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from stages.metrics import table
from stages.reporting.breakdown import Breakdown, breakdown_rows
from stages.reporting.comparisons import Difference, PairChange
from stages.reporting.health import selection_rate
from stages.reporting.overview import verdict
from stages.reporting.results import Results

PAIR_COLUMNS = (
    "questions",
    "em",
    "em_low",
    "em_high",
    "f1",
    "f1_low",
    "f1_high",
    "searches",
    "searches_low",
    "searches_high",
    "unanswered",
    "found",
)

PLOT_COLUMNS = ("iteration", "set", "pair", "em", "f1", "searches")
CURVE_COLUMNS = (
    "iteration",
    "step",
    "reward",
    "em",
    "searches",
    "kl",
    "entropy",
    "response_length",
)


def result_rows(results: Results, unordered: Collection[str] = ()) -> list[dict]:
    """Tidy: one row for each pair and question set; no recall by hop for `unordered` sets."""
    rows = []
    for pair in results.pairs:
        for name, part in pair.sets.items():
            row = {"agent": pair.agent, "retriever": pair.retriever, "question_set": name}
            row |= {column: getattr(part, column) for column in PAIR_COLUMNS}
            by_hop = {} if name in unordered else part.recall
            row |= {f"recall_{k}": by_hop.get(k) for k in part.recall}
            row |= {f"first_query_recall_{k}": v for k, v in part.first_query_recall.items()}
            row |= {f"answer_recall_{k}": (part.answer_recall or {}).get(k) for k in part.recall}
            rows.append(row | {"answer_found": part.answer_found})
    return rows


def plot_rows(results: Results) -> list[dict]:
    """Tidy, for `dvc plots`: one row for each pair and question set. `iteration` is K where Agent_K
    searches with R_K, else None."""
    flywheel = {pair.name: pair.agent for pair in results.flywheel}
    return [
        {"iteration": flywheel.get(pair.name), "set": name, "pair": pair.label}
        | {key: getattr(part, key) for key in PLOT_COLUMNS[3:]}
        for pair in results.pairs
        for name, part in pair.sets.items()
    ]


def curve_rows(results: Results) -> list[dict]:
    """Tidy, for `dvc plots`: one row for each iteration and step of PPO; None where a trainer has
    no such figure."""
    return [
        {"iteration": iteration, "step": int(point["step"])}
        | {key: point.get(key) for key in CURVE_COLUMNS[2:]}
        for iteration, points in results.curves["agent"].items()
        for point in points
        if "step" in point
    ]


def run_summary(
    results: Results,
    steps: list[PairChange],
    groups: list[Breakdown],
    labels: Mapping[str, Mapping[str, int]],
) -> dict:
    """The few figures that tell runs apart, for `dvc metrics` and `dvc exp show`.

    EM and F1 from 0 to 1, means over question sets, by iteration; half iterations with their
    intervals, and the questions it takes to see 2 EM points of each (None where no question
    changed); `labels`: iteration -> kind of query (stages/reporting/labelled.py) -> their number;
    `breakdown`, a list, is for other readers.
    """
    pairs = {pair.agent: pair for pair in results.flywheel}
    return {
        "verdict": verdict(results),
        "em": {k: pair.mean("em") for k, pair in pairs.items()},
        "f1": {k: pair.mean("f1") for k, pair in pairs.items()},
        "searches": {k: pair.mean("searches") for k, pair in pairs.items()},
        "selection_rate": {k: selection_rate(results, k) for k in results.iterations},
        "steps": {
            _name(s): {"em": _interval(s.em), "searches": _interval(s.searches)} for s in steps
        },
        "questions_needed": {_name(s): s.em.questions_needed for s in steps},
        "labels": {k: dict(counts) for k, counts in labels.items()},
        "breakdown": breakdown_rows(groups),
    }


def _name(step: PairChange) -> str:
    before, after = step.before, step.after
    return f"{before.agent}-{before.retriever} to {after.agent}-{after.retriever}"


def _interval(difference: Difference) -> dict:
    return {"mean": difference.mean, "low": difference.low, "high": difference.high}


def printed_numbers(tree: dict, prefix: str = "") -> list[tuple[str, float]]:
    """All numbers of nested figures with their path, in order: `agent / accuracy`, .93."""
    path = f"{prefix} / " if prefix else ""
    return [(name.replace("_", " "), value) for name, value in table.numbers(tree, path, " / ")]
