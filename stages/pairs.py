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
    """Select the training pairs of one iteration of the flywheel."""
    args = _arguments(argv)
    params = load_params()

    from stages.common.candidates import find_passages, match, read_candidates, read_labels
    from stages.common.records import write_json, write_jsonl
    from stages.selection.instances import (
        check_not_empty,
        instances_of,
        select_all,
        selection_metrics,
    )

    candidates = read_candidates(args.candidates)
    graded = read_labels(args.relevance, 0, 100)
    correct = read_labels(args.correctness, 0, 1)
    queries = [each for each, _ in match(candidates, correct, args.correctness)]
    relevance = [labels.scores for labels, _ in match(graded, correct, args.correctness)]
    correctness = [labels.scores for labels in correct]
    selections = select_all(queries, relevance, correctness, params, args.iteration)
    counts = selection_metrics(selections)
    check_not_empty(counts, args.iteration)
    passages = find_passages(args.passages, queries)
    labelled = zip(queries, relevance, correctness, selections, strict=True)
    made = (instance for query in labelled for instance in instances_of(*query, passages))
    write_jsonl(args.output, (instance.row() for instance in made))
    write_json(args.metrics, counts)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iteration", required=True, help="k, the iteration of the flywheel")
    parser.add_argument("--candidates", required=True, help="rows of the stage candidates")
    parser.add_argument("--relevance", required=True, help="rows of the stage relevance")
    parser.add_argument("--correctness", required=True, help="rows of the stage correctness")
    parser.add_argument("--passages", required=True, help="the corpus")
    parser.add_argument("--output", required=True, help="training instances, JSON Lines")
    parser.add_argument("--metrics", required=True, help="counts, JSON")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
