"""The MLflow runs of a finished flywheel, from its metrics and predictions alone.

DVC runs no code for a stage that comes from its cache, so nothing may exist only in MLflow: this
puts everything there from files. A flywheel that was tracked live is completed, one that is there
already is left, and one whose points differ is replaced: never two runs for one.
"""

from __future__ import annotations

import re
from pathlib import Path

from stages.params import Params
from stages.reporting.comparisons import PairChange
from stages.reporting.overview import sentences
from stages.reporting.predictions import Predictions, shown_passages
from stages.reporting.results import PairResult, Results
from stages.reporting.tables import printed_numbers
from stages.tracking import identity
from stages.tracking.curves import curve_points
from stages.tracking.naming import run_name
from stages.tracking.runs import Point, Runs
from stages.tracking.store import connect_store, tolerated
from stages.tracking.traces import assess, forget_duration, log_trace

# MLflow shows a section of charts for what stands before the slash, in alphabetical order, and one
# at the end for names without a slash, empty or not: QUESTIONS fills it.
HEADLINE = "1 mean by iteration"  # over question sets; short, as MLflow cuts titles
HEAD = {"em": "EM", "searches": "searches per question"}
BY_SET = {"em": "2 EM", "searches": "3 searches", "f1": "4 F1"}
BESIDE = {"em": "5 EM", "searches": "6 searches", "f1": "7 F1"}
QUESTIONS = "test questions"
UNSAFE = re.compile(r"[^\w\-. :/]")  # what MLflow does not take in the name of a metric


def rebuild(
    results: Results,
    params: Params,
    steps: list[PairChange],
    predictions: Predictions,
    passages: Path,
) -> None:
    """Complete or make the flywheel's runs; a failure is one line on standard error.

    Without `predictions` (none of any pair) the runs get no traces.
    """
    with tolerated("rebuilding the runs"):
        count = params.report.traces
        rows = {k: predictions.sample(k, count) for k in results.iterations}
        shown = [row for iteration in rows.values() for row in iteration]
        runs = Runs(*connect_store())
        runs.close_abandoned()
        parent = _open(runs, results, params, len(shown))
        if parent is None:
            return
        texts = shown_passages(passages, shown) if shown else {}
        children = runs.children(parent)
        for iteration in results.iterations:
            child = _child(
                runs,
                parent,
                children.get(iteration, []),
                iteration,
                child_points(results, iteration),
            )
            _trace(runs, child, rows[iteration], results.pair(iteration, iteration).label, texts)
            runs.finish(child, identity.origin())
        tags = identity.origin() | {
            "mlflow.note.content": "\n\n".join(sentences(results, steps)),
            "flywheel_traces": str(len(shown)),
            "flywheel_layout": identity.LAYOUT,
            "flywheel_digest": identity.results_digest(results, params),
        }
        runs.finish(parent, tags)


def _open(runs: Runs, results: Results, params: Params, traces: int) -> str | None:
    """The parent run to complete, with its own points; None if it is there, traces and all."""
    key, digest = identity.key(params), identity.results_digest(results, params)
    under_way, finished = runs.under_way(key), runs.finished(digest)
    if any(_whole(run.data.tags, traces) for run in finished) and not under_way:
        return None
    for run in [*finished, *under_way[1:]]:
        runs.delete(run.info.run_id)
    points = parent_points(results)
    if under_way:
        parent = under_way[0].info.run_id
        if runs.fill(parent, points):
            return parent
        runs.delete(parent)
    parent = runs.new_parent(key, run_name(params), identity.flat(params))
    runs.log_points(parent, points)
    return parent


def _whole(tags: dict[str, str], traces: int) -> bool:
    """Whether a finished run has so many traces, and the layout of today."""
    current = tags.get("flywheel_layout") == identity.LAYOUT
    return current and int(tags.get("flywheel_traces", 0)) >= traces


def _trace(runs: Runs, run: str, rows: list[dict], label: str, passages: dict) -> None:
    """Replace the traces of `run` by those of the trajectories `rows`."""
    import mlflow

    runs.delete_traces(run)
    options = {"experiment": runs.experiment, "run": run}
    traces = [log_trace(row, label, passages, **options) for row in rows]
    mlflow.flush_trace_async_logging()
    for trace, row in zip(traces, rows, strict=True):
        forget_duration(trace)
        assess(trace, row)


def _child(runs: Runs, parent: str, found: list, iteration: str, points: list[Point]) -> str:
    """The child run of an iteration, with just `points`: the one tracked live where it agrees."""
    for run in found[1:]:
        runs.delete(run.info.run_id)
    if found and runs.fill(found[0].info.run_id, points):
        return found[0].info.run_id
    if found:
        runs.delete(found[0].info.run_id)
    child = runs.new_child(parent, iteration)
    runs.log_points(child, points)
    return child


def parent_points(results: Results) -> list[Point]:
    """EM, F1 and searches by question set with step = iteration, and those of the other pairs."""
    iterations = {pair.name for pair in results.flywheel}
    points = [p for pair in results.flywheel for p in _metrics(pair, int(pair.agent))]
    for pair in results.pairs:
        if pair.name not in iterations:
            points += _beside(pair)
    return points


def child_points(results: Results, iteration: str) -> list[Point]:
    """Training curves of an iteration, the figures of its stages, its evaluation at that step."""
    points: list[Point] = []
    for stage, iterations in results.curves.items():
        points += curve_points(stage, iterations[iteration])
    for stage, iterations in results.stages.items():
        for path, value in printed_numbers(iterations[iteration], f"{stage} figures"):
            points.append((name(path.replace(" / ", "/")), int(iteration), float(value)))
    return points + _metrics(results.pair(iteration, iteration), int(iteration))


def _metrics(pair: PairResult, iteration: int) -> list[Point]:
    """The figures of an iteration's own pair, the headline first."""
    points = [(f"{HEADLINE}/{title}", iteration, pair.mean(key)) for key, title in HEAD.items()]
    for key, title in BY_SET.items():
        points += [(f"{title} by iteration/{s}", iteration, v) for s, v in _by_set(pair, key)]
    asked = sum(part.questions for part in pair.sets.values())
    return [*points, (QUESTIONS, iteration, asked)]


def _beside(pair: PairResult) -> list[Point]:
    """The figures of a pair to compare with, which has no iteration."""
    return [
        (f"{title} of other pairs/{name(pair.name)} {question_set}", 0, value)
        for key, title in BESIDE.items()
        for question_set, value in [("mean", pair.mean(key)), *_by_set(pair, key)]
    ]


def _by_set(pair: PairResult, key: str) -> list[tuple[str, float]]:
    return [(name(question_set), getattr(part, key)) for question_set, part in pair.sets.items()]


def name(text: str) -> str:
    """`text` as a metric name that MLflow takes."""
    return UNSAFE.sub("-", text)
