"""Every figure of one run as a tidy table: `python -m stages.tools.collect metrics/studies/real.csv`.

In: params.yaml, the metrics of the turns and pairs that it lists (another run's may lie beside
them) and their predictions. Out: CSV, one number a row: stage, name (the turn or
the pair), agent and retriever of a pair, question set, measure, value. A nested figure's measure is
its path, as in `dropped.few_candidates` or `first_query_recall.20`.

Retrievers are compared by `first_query_recall`, on the query that the agent wrote before it saw any
passage. `first_queries_shared` is the share of questions whose first query is, letter for letter,
the one that the same agent asked with its own turn's retriever.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterator
from pathlib import Path

from stages.common.records import read_json, read_jsonl, write_text
from stages.params import Params, load_params
from stages.plumbing import errors
from stages.plumbing.errors import InputError

STAGES = (
    *("index", "agent", "trajectories", "candidates", "relevance"),
    *("correctness", "pairs", "retriever", "evaluate", "first_query"),
)
COLUMNS = ("stage", "name", "agent", "retriever", "question_set", "measure", "value")


def rows(metrics: Path, predictions: Path, params: Params) -> Iterator[dict]:
    """The rows of STAGES, in the method's order. InputError if there is no figure at all."""
    found = [(stage, path) for stage in STAGES for path in _files(metrics, stage, params)]
    if not found:
        raise InputError(f"{metrics}: holds no figures of any stage of this run")
    for stage, path in found:
        figures = read_json(path)
        if stage == "evaluate":
            yield from _pair(path.stem, figures, predictions)
        else:
            yield from _rows({"stage": stage, "name": path.stem}, figures)


def _files(metrics: Path, stage: str, params: Params) -> list[Path]:
    """The stage's figures of this run, as far as they are there."""
    turns = list(params.iterations)
    names = dict.fromkeys(("index", "first_query"), params.all_retrievers)
    names["evaluate"] = [*params.compare, *turns]
    paths = (metrics / stage / f"{name}.json" for name in names.get(stage, turns))
    return sorted(path for path in paths if path.exists())


def _pair(name: str, figures: dict, predictions: Path) -> Iterator[dict]:
    about = {"stage": "evaluate", "name": name}
    about |= {"agent": figures["agent"], "retriever": figures["retriever"]}
    shared = _shared(predictions, name, figures["agent"])
    for question_set, measured in figures["sets"].items():
        more = {"first_queries_shared": shared[question_set]} if question_set in shared else {}
        yield from _rows(about | {"question_set": question_set}, measured | more)


def _shared(predictions: Path, name: str, agent: str) -> dict[str, float]:
    """By question set: the share of first queries that pair `name` has in common with pair `agent`.

    Empty where either has no predictions (the pair of a turn is called as the turn is).
    """
    files = [predictions / f"{name}.jsonl", predictions / f"{agent}.jsonl"]
    if not all(file.exists() for file in files):
        return {}
    ours, theirs = (
        {(row["set"], row["id"]): _first_query(row) for row in read_jsonl(file, ("id", "set"))}
        for file in files
    )
    same: dict[str, list[bool]] = {}
    for key, query in ours.items():
        same.setdefault(key[0], []).append(query == theirs.get(key))
    return {question_set: sum(found) / len(found) for question_set, found in same.items()}


def _first_query(row: dict) -> str | None:
    return next((turn["query"] for turn in row["turns"] if turn["query"] is not None), None)


def _rows(about: dict, figures: dict) -> Iterator[dict]:
    """A row for each number in nested `figures`."""
    for measure, value in _numbers(figures):
        yield about | {"measure": measure, "value": round(value, 6)}


def _numbers(figures: dict, path: str = "") -> Iterator[tuple[str, float]]:
    for key, value in figures.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{path}{key}.")
        elif isinstance(value, int | float):
            yield path + key, value


def as_csv(table: list[dict]) -> str:
    """The rows as CSV with a header; columns that do not apply stay empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def main(argv: list[str] | None = None) -> None:
    """Write the table of the run in this checkout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="the CSV file to write")
    parser.add_argument("--metrics", type=Path, default=Path("metrics"))
    parser.add_argument("--predictions", type=Path, default=Path("data/predictions"))
    args = parser.parse_args(argv)
    write_text(args.output, as_csv(list(rows(args.metrics, args.predictions, load_params()))))


if __name__ == "__main__":
    errors.run(main)
