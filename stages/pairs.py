"""Step B6: training pairs, selected by (GAC, LR), or by what the agent used (`pairs.source`).

In: candidates, their LR and GAC, and the agent's visits. Out: an instance for each positive, or for
`pairs.instances` of them: the query, the positive, 15 negatives drawn from the candidates that are
not tied with the top, and the ids of the tied candidates, which must never serve as negatives of
this query. What selection leaves out is counted by reason. `positive_selection_rate`, the share of
queries that give a positive, is the method's health: it falls when GAC collapses.
"""

from __future__ import annotations

import argparse

from stages.params import check_weights, load_params
from stages.plumbing.errors import run


def main(argv: list[str] | None = None) -> None:
    """Select the training pairs of one iteration of the flywheel."""
    args = _arguments(argv)
    params = load_params()
    check_weights(params)

    from stages.common.corpus import WantedPassages
    from stages.common.records import write_json, write_jsonl
    from stages.selection.instances import (
        LabelFiles,
        SelectionCounts,
        check_not_empty,
        instances_of,
        selected,
    )

    files = LabelFiles(args.candidates, args.relevance, args.correctness, args.visits)
    counts, wanted = SelectionCounts(params.pairs), set()
    for *_, selection in selected(files, params, args.iteration):
        counts.add(selection)
        wanted.update(selection.positives, selection.negatives)
    check_not_empty(counts.metrics(), args.iteration)
    passages = WantedPassages(args.passages, wanted)
    again = selected(files, params, args.iteration)  # no row is held
    made = (instance for labelled in again for instance in instances_of(*labelled, passages))
    write_jsonl(args.output, (instance.row() for instance in made))
    write_json(args.metrics, counts.metrics())


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iteration", required=True, help="k, the iteration of the flywheel")
    parser.add_argument("--candidates", required=True, help="rows of the stage candidates")
    parser.add_argument("--relevance", required=True, help="rows of the stage relevance")
    parser.add_argument("--correctness", required=True, help="rows of the stage correctness")
    parser.add_argument("--visits", required=True, help="rows of the stage visits")
    parser.add_argument("--passages", required=True, help="the corpus")
    parser.add_argument("--output", required=True, help="training instances, JSON Lines")
    parser.add_argument("--metrics", required=True, help="counts, JSON")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
