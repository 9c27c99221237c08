"""Step B6: training pairs, selected by (GAC, LR).

In: candidates, their LR and GAC. Out: an instance for each positive: the query, the positive, 15
negatives drawn from the candidates that are not tied with the top, and the ids of the tied
candidates, which must never serve as negatives of this query. What selection leaves out is counted
by reason. `positive_selection_rate`, the share of queries that give a positive, is the method's
health: it falls when GAC collapses.
"""

from __future__ import annotations

import argparse

from stages.params import load_params
from stages.plumbing.errors import run


def main(argv: list[str] | None = None) -> None:
    """Select the training pairs of one turn of the flywheel."""
    args = _arguments(argv)
    params = load_params()

    from stages.common.queries import find_passages, match_rows, read_candidates
    from stages.common.records import read_jsonl, write_json, write_jsonl
    from stages.selection.instances import check_not_empty, figures, instances, select_all

    candidates = read_candidates(args.candidates)
    graded = read_jsonl(args.relevance, ("id", "scores"))
    correct = read_jsonl(args.correctness, ("id", "scores"))
    queries = [row for row, _ in match_rows(candidates, correct, args.correctness)]
    relevance = [row["scores"] for row, _ in match_rows(graded, correct, args.correctness)]
    correctness = [row["scores"] for row in correct]
    selections = select_all(queries, relevance, correctness, params, args.turn)
    counts = figures(selections)
    check_not_empty(counts, args.turn)
    passages = find_passages(args.passages, queries)
    labelled = zip(queries, relevance, correctness, selections, strict=True)
    write_jsonl(
        args.output, (instance for query in labelled for instance in instances(*query, passages))
    )
    write_json(args.metrics, counts)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turn", required=True, help="k, the turn of the flywheel")
    parser.add_argument("--candidates", required=True, help="rows of the stage candidates")
    parser.add_argument("--relevance", required=True, help="rows of the stage relevance")
    parser.add_argument("--correctness", required=True, help="rows of the stage correctness")
    parser.add_argument("--passages", required=True, help="the corpus")
    parser.add_argument("--output", required=True, help="training instances, JSON Lines")
    parser.add_argument("--metrics", required=True, help="counts, JSON")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
