"""The last lines of `make repro`: EM and searches per question by turn, and where to look next."""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.params import load_params
from stages.plumbing.errors import run
from stages.reporting.results import Results, read_results

NEXT = (
    ("the report", "{page}"),
    ("every run and its curves", "mlflow ui --backend-store-uri {store}"),
    ("experiments side by side", "dvc exp show --only-changed"),
    ("an ablation", "dvc exp run -S correctness.mode=off"),
)


def main(argv: list[str] | None = None) -> None:
    """Print the table and the places to look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metrics-folder", type=Path, default=Path("metrics"))
    parser.add_argument("--page", type=Path, default=Path("data/report/index.html"))
    args = parser.parse_args(argv)
    results = read_results(args.metrics_folder, load_params())

    from rich.console import Console

    from stages.tracking.store import uri

    console = Console(highlight=False)
    console.print(_table(results))
    places = {"page": args.page, "store": uri()}
    for what, where in NEXT:
        console.print(f"{what:<26}{where.format(**places)}", soft_wrap=True, markup=False)


def _table(results: Results):
    from rich.table import Table

    table = Table(title="EM (%) and searches per question, by turn", title_justify="left")
    table.add_column("")
    for name in [*results.sets, "mean"]:
        table.add_column(name, justify="right")
    for pair in results.flywheel:
        cells = [(f["em"], f["searches"]) for f in pair.sets.values()]
        cells.append((pair.mean("em"), pair.mean("searches")))
        table.add_row(pair.label, *(f"{100 * em:.1f}  {searches:.2f}" for em, searches in cells))
    return table


if __name__ == "__main__":
    run(main)
