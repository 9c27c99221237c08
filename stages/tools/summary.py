"""Print EM and searches by iteration, and the next commands: the last lines of `make repro`.

What is not of this run (by dvc.lock, the question sets, the predictions) is marked, never shown.
"""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path

from stages.common.records import read_questions
from stages.common.trajectories import iter_predictions
from stages.metrics import table
from stages.metrics.lock import Lock
from stages.metrics.run import prediction_reason, questions_by_set, told
from stages.params import Params, load_params
from stages.plumbing.errors import InputError, run
from stages.reporting.results import PairResult, agent_label, pair_names, read_pair, retriever_label
from stages.tools.compare import EVERYTHING

MEASURES = ("em", "em_low", "em_high", "searches")
TITLE = "EM (%) with its 95 % interval, and searches per question, by iteration"
NEXT = (
    ("the report", "{page}"),
    ("in a shell, first", ". .venv/bin/activate"),
    ("every run and its curves", "mlflow ui --backend-store-uri {store}"),
    ("on its page", "Experiments, agentic-r, then the chart above the runs"),
    ("an ablation", "dvc exp run -S correctness.mode=off"),
    ("experiments side by side", "make compare"),
    ("the same by DVC", EVERYTHING),
)


@dataclass(frozen=True)
class IterationRow:
    """An iteration's pair: its figures, or why there are none of this run."""

    name: str
    label: str
    pair: PairResult | None
    reason: str | None


def main(argv: list[str] | None = None) -> None:
    """Print the table and the places to look."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metrics-folder", type=Path, default=Path("metrics"))
    parser.add_argument("--predictions", type=Path, default=Path("data/predictions"))
    parser.add_argument("--questions", type=Path, default=Path("data/questions/test"))
    parser.add_argument("--page", type=Path, default=Path("data/report/index.html"))
    args = parser.parse_args(argv)
    rows = read_pairs(args.metrics_folder, args.predictions, args.questions, load_params())
    shown = [row for row in rows if row.pair]
    if rows and not shown:
        raise InputError(f"{rows[-1].reason}; no figure is of this run: `dvc repro` makes them")

    from rich.console import Console

    from stages.tracking.store import uri

    console = Console(highlight=False)
    if rows:
        console.print(_table(rows))
    for row in rows:
        if not row.pair:
            console.print(f"{row.label}: {row.reason}", soft_wrap=True, markup=False)
    store = shlex.quote(uri().replace(f"{Path.cwd()}/", ""))
    places = {"page": args.page, "store": store}
    for what, where in NEXT:
        console.print(f"{what:<26}{where.format(**places)}", soft_wrap=True, markup=False)


def read_pairs(
    metrics: Path, predictions: Path, questions: Path, params: Params
) -> list[IterationRow]:
    """The flywheel's pairs, in order. InputError for a file that breaks its schema."""
    asked = _asked(questions)
    lock, rows = Lock.read(), []
    iterations = ["0", *params.iterations]
    for name, (agent, retriever) in pair_names(params).items():
        if agent != retriever or agent not in iterations:
            continue
        path = metrics / "evaluate" / f"{name}.json"
        label = f"{agent_label(agent)} + {retriever_label(retriever)}"
        pair, reason = None, f"{path} is not there: the iteration was not evaluated"
        if path.exists():
            pair = read_pair(path, name, agent, retriever)
            reason = lock.reason(path) if lock else None
            reason = reason or _other_questions(pair, asked or (rows and sizes_of(rows)))
            reason = reason or _other_predictions(pair, predictions / f"{name}.jsonl")
            reason = reason and f"{path} is not of this run: {reason}"
        rows.append(IterationRow(name, label, None if reason else pair, reason))
    return rows


def sizes_of(rows: list[IterationRow]) -> dict[str, int] | None:
    """The question sets of the first row that is shown."""
    return next((questions_by_set(row.pair.sets) for row in rows if row.pair), None)


def _asked(folder: Path) -> dict[str, int]:
    """Question set -> its number of questions; empty where the sets are not here."""
    return {file.stem: len(read_questions(file)) for file in sorted(folder.glob("*.jsonl"))}


def _other_questions(pair: PairResult, asked: dict[str, int] | None) -> str | None:
    found = questions_by_set(pair.sets)
    if not asked or found == asked:
        return None
    return f"it has {told(found)}, and the run {told(asked)}"


def _other_predictions(pair: PairResult, path: Path) -> str | None:
    return prediction_reason(pair.sets, iter_predictions(path), path) if path.exists() else None


def _table(rows: list[IterationRow]):
    from rich.markup import escape
    from rich.table import Table

    shown = {row.name: row.pair for row in rows if row.pair}
    metrics = table.table(
        found for name, pair in shown.items() for found in table.rows("evaluate", name, pair.row())
    )
    em, low, high, searches = (table.by_set(metrics, measure) for measure in MEASURES)
    drawn = Table(title=TITLE, title_justify="left")
    drawn.add_column("")
    for name in [*em.columns, "mean"]:
        drawn.add_column(escape(name), justify="right")
    for row in rows:
        if not row.pair:
            drawn.add_row(row.label, *["not of this run"] * (len(em.columns) + 1))
            continue
        cells = []
        for name in em.columns:
            value, least, most, asks = (
                each.at[row.name, name] for each in (em, low, high, searches)
            )
            cells.append(f"{_metrics(value, asks)}\n{100 * least:.1f}–{100 * most:.1f}")
        cells.append(_metrics(row.pair.mean("em"), row.pair.mean("searches")))
        drawn.add_row(row.label, *cells)
    return drawn


def _metrics(em: float, searches: float) -> str:
    return f"{100 * em:.1f}  {searches:.2f}"


if __name__ == "__main__":
    run(main)
