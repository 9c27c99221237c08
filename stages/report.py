"""The figures of a run as one HTML page, as JSON and CSV, and as MLflow runs.

Reads metrics and predictions only: no model computes anything here. The page says first whether
the flywheel turned, then shows where: tables with intervals, half turns, curves, labels, counts,
and questions followed through R_0 and R_K side by side.

in:  metrics/, data/predictions/, the corpus
out: a folder with index.html and pairs.csv (tidy, one row a pair and question set); the headline
     figures for `dvc metrics`; one row a turn for `dvc plots`
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.errors import run
from stages.params import load_params
from stages.records import write_json, write_text


def main(argv: list[str] | None = None) -> None:
    """Write the report and bring MLflow up to date."""
    args = _arguments(argv)
    params = load_params()

    from stages.reporting.cases import case_pairs, choose_cases
    from stages.reporting.comparisons import half_turns
    from stages.reporting.health import check_accounts
    from stages.reporting.page import render
    from stages.reporting.predictions import read_predictions, shown_passages
    from stages.reporting.results import read_results
    from stages.reporting.tables import as_csv, pair_rows, summary, turn_rows
    from stages.tracking import rebuild

    results = read_results(args.metrics_folder, params)
    check_accounts(results)
    predictions = read_predictions(args.predictions, results)
    steps = half_turns(results, predictions, params.seed, params.evaluate.bootstrap_samples)
    sides = case_pairs(results)
    cases = choose_cases(sides, predictions, params.report.cases_per_kind) if sides else []
    shown = [row for case in cases for row in (case.before, case.after)]
    passages = shown_passages(args.passages, shown)

    write_text(args.output / "index.html", render(results, steps, sides, cases, passages))
    write_text(args.output / "pairs.csv", as_csv(pair_rows(results)))
    write_text(args.plots, as_csv(turn_rows(results)))
    write_json(args.metrics, summary(results, steps))
    rebuild(results, params, steps, predictions, args.passages)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metrics-folder", required=True, type=Path, help="figures of all stages")
    parser.add_argument("--predictions", required=True, type=Path, help="folder, one file a pair")
    parser.add_argument("--passages", required=True, type=Path, help="the corpus")
    parser.add_argument("--output", required=True, type=Path, help="folder of the page")
    parser.add_argument("--metrics", required=True, type=Path, help="headline figures, JSON")
    parser.add_argument("--plots", required=True, type=Path, help="figures by turn, CSV")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
