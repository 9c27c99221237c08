"""Every figure of one run as a tidy table.

    python -m stages.tools.collect metrics/studies/real.csv

In: params.yaml, the metrics of the iterations and pairs that it lists (another run's may lie beside
them) and their predictions. Out: CSV, one number a row: stage, name (the iteration or
the pair), agent and retriever of a pair, question set, measure, value. A nested figure's measure is
its path, as in `dropped.few_candidates` or `first_query_recall.20`. A file of those that is not of
this run (dvc.lock, the predictions) is left out, and said.

Retrievers are compared by `first_query_recall`, on the query that the agent wrote before it saw any
passage. `first_queries_shared` is the share of questions whose first query is, letter for letter,
the one that the same agent asked with its own iteration's retriever.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from stages.common.evaluations import Evaluation
from stages.common.records import as_csv, write_text
from stages.common.trajectories import iter_predictions
from stages.metrics import table
from stages.metrics.lock import Lock
from stages.metrics.reading import read
from stages.metrics.run import foreign, prediction_reason
from stages.params import Params, load_params
from stages.plumbing import errors
from stages.plumbing.errors import InputError

STAGES = (
    *("index", "agent", "trajectories", "visits", "candidates", "relevance"),
    *("correctness", "pairs", "retriever", "evaluate", "first_query"),
)
COLUMNS = ("stage", "name", "agent", "retriever", "question_set", "measure", "value")


def metric_rows(folder: Path, predictions: Path, params: Params) -> Iterator[dict]:
    """The rows of STAGES, in the method's order. InputError if there is no figure at all."""
    found = [(stage, path) for stage in STAGES for path in _files(folder, stage, params)]
    lock, kept = Lock.read(), 0
    for stage, path in found:
        metrics = read(path)
        if reason := _reason(stage, path, metrics, predictions, lock):
            print(f"left out: {foreign(path, reason)}", file=sys.stderr)
            continue
        kept += 1
        pair = stage == "evaluate"
        about = {key: metrics[key] for key in ("agent", "retriever") if pair}
        more = _shared(predictions, path.stem, metrics["agent"]) if pair else {}
        yield from _rows(stage, path.stem, metrics, about, more)
    if not kept:
        raise InputError(f"{folder}: holds no figures of any stage of this run")


def _reason(
    stage: str, path: Path, metrics: dict, predictions: Path, lock: Lock | None
) -> str | None:
    """Why a file is not of this run, as far as that can be told."""
    if stage == "first_query":  # made by hand, by no stage of the pipeline
        return None
    if lock and (reason := lock.reason(path)):
        return reason
    file = predictions / f"{path.stem}.jsonl"
    if stage != "evaluate" or not file.exists():
        return None
    return prediction_reason(Evaluation.of(metrics).sets, iter_predictions(file), file)


def _files(folder: Path, stage: str, params: Params) -> list[Path]:
    """The stage's figures of this run, as far as they are there."""
    iterations = list(params.iterations)
    names = dict.fromkeys(("index", "first_query"), params.all_retrievers)
    names["evaluate"] = [*params.pairs_beside, *iterations]
    paths = (folder / stage / f"{name}.json" for name in names.get(stage, iterations))
    return sorted(path for path in paths if path.exists())


def _rows(stage: str, name: str, metrics: dict, about: dict, shared: dict) -> Iterator[dict]:
    """A row for each number, and for what the sets of a pair share of their first queries."""
    found = list(table.rows(stage, name, metrics))
    for number, (_, _, question_set, measure, value) in enumerate(found):
        row = {"stage": stage, "name": name} | about | {"question_set": question_set}
        yield row | {"measure": measure, "value": round(value, 6)}
        last = number + 1 == len(found) or found[number + 1][2] != question_set
        if last and question_set in shared:
            more = {"measure": "first_queries_shared", "value": round(shared[question_set], 6)}
            yield row | more


def _shared(predictions: Path, name: str, agent: str) -> dict[str, float]:
    """By question set: the share of first queries that pair `name` has in common with pair `agent`.

    Empty where either has no predictions (the pair of an iteration is called as the iteration is).
    """
    files = [predictions / f"{name}.jsonl", predictions / f"{agent}.jsonl"]
    if not all(file.exists() for file in files):
        return {}
    ours, theirs = (
        {row.key: next(iter(row.queries), None) for row in iter_predictions(file)} for file in files
    )
    same: dict[str, list[bool]] = {}
    for key, query in ours.items():
        same.setdefault(key[0], []).append(query == theirs.get(key))
    return {question_set: sum(found) / len(found) for question_set, found in same.items()}


def main(argv: list[str] | None = None) -> None:
    """Write the table of the run in this checkout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="the CSV file to write")
    parser.add_argument("--metrics", type=Path, default=Path("metrics"))
    parser.add_argument("--predictions", type=Path, default=Path("data/predictions"))
    args = parser.parse_args(argv)
    found = list(metric_rows(args.metrics, args.predictions, load_params()))
    write_text(args.output, as_csv([{c: row.get(c) for c in COLUMNS} for row in found]))


if __name__ == "__main__":
    errors.run(main)
