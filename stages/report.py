"""Stage report: the metrics of a run as one HTML page, as JSON and CSV, and in MLflow.

Reads files only: no model computes anything here. The page says first whether the flywheel turned,
then shows where: tables with intervals, half iterations, which questions gain, curves, labels,
counts, studies, questions followed through R_0 and R_K side by side, and replies that could not be
read.

in:  metrics/ (and what studies and drift left there), data/predictions/, the labels of every
     iteration, the question sets, the corpus
out: a folder with index.html and pairs.csv (tidy, one row a pair and question set); the headline
     figures for `dvc metrics`; for `dvc plots` a row a pair and question set, and a row a step of
     PPO
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.records import write_json, write_text
from stages.params import Params, load_params
from stages.plumbing.errors import run

if TYPE_CHECKING:
    from stages.evaluation.summary import SetMetrics
    from stages.reporting.comparisons import PairChange
    from stages.reporting.page import Content
    from stages.reporting.predictions import Predictions
    from stages.reporting.results import Results


def main(argv: list[str] | None = None) -> None:
    """Write the report and bring MLflow up to date."""
    args = _arguments(argv)
    params = load_params()

    from stages.common.records import as_csv
    from stages.evaluation.blocks import evaluation_rollout_of
    from stages.evaluation.summary import metrics_of
    from stages.reporting import tables
    from stages.reporting.comparisons import half_iterations
    from stages.reporting.page import render_page
    from stages.reporting.predictions import read_all_predictions, read_metadata
    from stages.reporting.results import read_results
    from stages.tracking.rebuilding import rebuild

    results = read_results(args.metrics_folder, params)
    metadata = read_metadata(args.questions)

    def again(agent: str) -> SetMetrics:
        """The figures of a question set of an agent, to be counted from its predictions."""
        return metrics_of(replace(params, rollout=evaluation_rollout_of(params, agent)))

    predictions = read_all_predictions(
        args.predictions, results, metadata, args.metrics_folder, again
    )
    steps = half_iterations(results, predictions)
    content = _content(args, params, results, steps, predictions, metadata)

    write_text(args.output / "index.html", render_page(content))
    write_text(args.output / "pairs.csv", as_csv(tables.result_rows(results, content.unordered)))
    write_text(args.plots, as_csv(tables.plot_rows(results), tables.PLOT_COLUMNS))
    write_text(args.curves, as_csv(tables.curve_rows(results), tables.CURVE_COLUMNS))
    counts = content.labelled.counts
    write_json(args.metrics, tables.run_summary(results, steps, content.breakdowns, counts))
    rebuild(results, params, steps, predictions, args.passages)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metrics-folder", required=True, type=Path, help="figures of all stages")
    parser.add_argument("--predictions", required=True, type=Path, help="folder, one file a pair")
    parser.add_argument("--labels", required=True, type=Path, help="folder of candidates/K.jsonl..")
    parser.add_argument("--questions", required=True, type=Path, help="folder, one file a set")
    parser.add_argument("--passages", required=True, type=Path, help="the corpus")
    parser.add_argument("--output", required=True, type=Path, help="folder of the page")
    parser.add_argument("--metrics", required=True, type=Path, help="headline figures, JSON")
    parser.add_argument("--plots", required=True, type=Path, help="figures by pair and set, CSV")
    parser.add_argument("--curves", required=True, type=Path, help="PPO by iteration and step, CSV")
    return parser.parse_args(argv)


def _content(
    args: argparse.Namespace,
    params: Params,
    results: Results,
    steps: list[PairChange],
    predictions: Predictions,
    metadata: dict,
) -> Content:
    from stages.reporting.breakdown import breakdown
    from stages.reporting.cases import case_pairs, choose_cases
    from stages.reporting.comparisons import bounds
    from stages.reporting.drift import check_drift, read_drift
    from stages.reporting.labelled import check_counts, read_labelled
    from stages.reporting.page import Content
    from stages.reporting.predictions import (
        passages_by_id,
        shown_ids,
        unordered_sets,
    )
    from stages.reporting.studies import read_studies
    from stages.reporting.unread import read_unread

    sides = case_pairs(results)
    block = params.report
    cases = choose_cases(sides, predictions, block.cases_per_kind, block.follow) if sides else []
    labelled = read_labelled(args.labels, results.iterations, params)
    check_counts(labelled, results, args.metrics_folder)
    pairs = results.flywheel
    compared = [(pairs[0], pairs[-1])] if len(pairs) > 1 else []
    compared += [sides] if sides and sides not in compared else []
    wanted = shown_ids(row for case in cases for row in (case.before, case.after))
    wanted |= {c.id for query in labelled.queries for c in query.candidates}
    drift = read_drift(args.metrics_folder / "drift.json")
    check_drift(args.metrics_folder / "drift.json", drift, results, predictions)
    parts = [breakdown(two, predictions, metadata) for two in compared]
    return Content(
        results,
        steps,
        sides,
        cases,
        [part for part in parts if part.groups or part.recalls],
        labelled,
        read_studies(args.metrics_folder / "studies"),
        drift,
        predictions.sample(pairs[-1].name, params.report.traces) if results.iterations else [],
        passages_by_id(args.passages, wanted),
        unordered_sets(metadata),
        read_unread(args.labels, results.iterations),
        bounds(results, predictions),
    )


if __name__ == "__main__":
    run(main)
