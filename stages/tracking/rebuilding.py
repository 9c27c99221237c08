"""The MLflow runs of a finished flywheel, from its metrics and predictions alone.

DVC runs no code for a stage that comes from its cache, so nothing may exist only in MLflow: this
puts everything there from files. A flywheel that was tracked live is completed, one that is there
already is left, and one whose points differ is replaced: never two runs for one.
"""

from __future__ import annotations

import re
from pathlib import Path

from stages.common.seeds import seed_of
from stages.params import Params
from stages.reporting.comparisons import PairChange
from stages.reporting.overview import sentences
from stages.reporting.predictions import Predictions, shown_passages
from stages.reporting.results import PairResult, Results
from stages.reporting.tables import numbers
from stages.tracking import identity
from stages.tracking.curves import curve_points
from stages.tracking.runs import Point, Runs
from stages.tracking.store import connect, tolerated
from stages.tracking.traces import assess, log_trace

MEASURES = ("em", "f1", "searches")
UNSAFE = re.compile(r"[^\w\-. :/]")  # what MLflow does not take in the name of a metric


def rebuild(
    results: Results,
    params: Params,
    steps: list[PairChange],
    predictions: Predictions,
    passages: Path,
) -> None:
    """Complete or make the flywheel's runs; a failure is one line on standard error.

    Without `predictions` (an empty mapping) the runs get no traces.
    """
    with tolerated("rebuilding the runs"):
        count = params.report.traces
        rows = {turn: sample(predictions.get(turn, []), count) for turn in results.turns}
        shown = [row for turn in rows.values() for row in turn]
        runs = Runs(*connect())
        runs.close_abandoned()
        parent = _open(runs, results, params, len(shown))
        if parent is None:
            return
        texts = shown_passages(passages, shown) if shown else {}
        children = runs.children(parent)
        for turn in results.turns:
            child = _child(runs, parent, children.get(turn, []), turn, child_points(results, turn))
            _trace(runs, child, rows[turn], results.pair(turn, turn).label, texts)
            runs.finish(child, identity.origin())
        tags = identity.origin() | {
            "mlflow.note.content": "\n\n".join(sentences(results, steps)),
            "flywheel_traces": str(len(shown)),
            "flywheel_digest": identity.digest(results, params),
        }
        runs.finish(parent, tags)


def _open(runs: Runs, results: Results, params: Params, traces: int) -> str | None:
    """The parent run to complete, with its own points; None if it is there, traces and all."""
    key, digest = identity.key(params), identity.digest(results, params)
    under_way, finished = runs.under_way(key), runs.finished(digest)
    whole = [run for run in finished if int(run.data.tags.get("flywheel_traces", 0)) >= traces]
    if whole and not under_way:
        return None
    for run in [*finished, *under_way[1:]]:
        runs.delete(run.info.run_id)
    points = parent_points(results)
    if under_way:
        parent = under_way[0].info.run_id
        if runs.fill(parent, points):
            return parent
        runs.delete(parent)
    parent = runs.new_parent(key, identity.flat(params))
    runs.log_points(parent, points)
    return parent


def _trace(runs: Runs, run: str, rows: list[dict], label: str, passages: dict) -> None:
    """Replace the traces of `run` by those of the trajectories `rows`."""
    import mlflow

    runs.delete_traces(run)
    options = {"experiment": runs.experiment, "run": run}
    traces = [log_trace(row, label, passages, **options) for row in rows]
    mlflow.flush_trace_async_logging()
    for trace, row in zip(traces, rows, strict=True):
        assess(trace, row)


def _child(runs: Runs, parent: str, found: list, turn: str, points: list[Point]) -> str:
    """The child run of a turn, holding exactly `points`: the one tracked live where it agrees."""
    for run in found[1:]:
        runs.delete(run.info.run_id)
    if found and runs.fill(found[0].info.run_id, points):
        return found[0].info.run_id
    if found:
        runs.delete(found[0].info.run_id)
    child = runs.new_child(parent, turn)
    runs.log_points(child, points)
    return child


def sample(rows: list[dict], count: int) -> list[dict]:
    """`count` trajectories by a hash of set and id: the same questions in every turn."""
    return sorted(rows, key=lambda row: seed_of(0, "trace", row.set, row.id))[:count]


def parent_points(results: Results) -> list[Point]:
    """EM, F1 and searches by question set with step = turn, and those of the other pairs."""
    turns = {pair.name for pair in results.flywheel}
    points = [p for pair in results.flywheel for p in _figures(pair, "", int(pair.agent))]
    for pair in results.pairs:
        if pair.name not in turns:
            points += _figures(pair, f"{pair.name}/", 0)
    return points


def child_points(results: Results, turn: str) -> list[Point]:
    """A turn's training curves, the figures of its stages, and its evaluation at step = turn."""
    points: list[Point] = []
    for stage, turns in results.curves.items():
        points += curve_points(stage, turns[turn])
    for stage, turns in results.stages.items():
        for path, value in numbers(turns[turn], f"{stage} figures"):
            points.append((name(path.replace(" / ", "/")), int(turn), float(value)))
    return points + _figures(results.pair(turn, turn), "", int(turn))


def _figures(pair: PairResult, prefix: str, step: int) -> list[Point]:
    points = []
    for measure in MEASURES:
        points.append((name(f"{prefix}{measure}/mean"), step, pair.mean(measure)))
        for question_set, metrics in pair.sets.items():
            points.append((name(f"{prefix}{measure}/{question_set}"), step, metrics[measure]))
    return points


def name(text: str) -> str:
    """`text` as a metric name that MLflow takes."""
    return UNSAFE.sub("-", text)
