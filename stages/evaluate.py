"""One (agent, retriever) pair on every question set: EM, F1, searches per question, recall.

Agentic-R, step D and its tables. Greedy rollouts; all question sets share the batches. Exact
match and F1 as SQuAD defines them, each with an interval over questions (over fact chains, where
questions share them: docs/statistics.md). The frame and the limits are the run's, or those of the
block `evaluate`, and an agent's own folder may have others. Beyond the paper: recall@k of the gold
passages (stages/evaluation/recall.py) and of passages that hold a gold answer
(stages/evaluation/bearing.py), and the predictions are kept, so that any two pairs can be compared
question by question. Of the development sets, which decisions look at (stages/health.py), the
figures alone are kept.

in:  an agent, an index with its retriever, the corpus, a folder of question sets (one file each),
     and for a pair that decisions look at one of development sets
out: trajectories with their set, and for each turn the `ranked` passage ids; the figures
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stages.params import Params, load_params
from stages.plumbing.errors import run
from stages.running.workers import Advance, Work

if TYPE_CHECKING:
    from stages.evaluation.asking import MetricsBySet, SetQuestions

SHARD = 512  # questions between two save points


def main(argv: list[str] | None = None) -> None:
    """Evaluate the pair and write its predictions and figures."""
    args = _arguments(argv)
    params = load_params()

    from stages.common.records import write_json, write_jsonl
    from stages.evaluation import asking
    from stages.evaluation.blocks import evaluation_rollout
    from stages.rollout.blocks import rollout_of

    params = replace(params, rollout=rollout_of(args.agent, evaluation_rollout(params)))
    questions = asking.question_sets(args.questions)
    if args.development:
        several = asking.sets_in(args.development)
        questions += [(asking.DEVELOPMENT + name, question) for name, question in several]
    more = [args.development] if args.development else []
    with asking.asked_rows("evaluate", questions, SHARD, _build, args, params, more) as rows:
        metrics: MetricsBySet = {}
        write_jsonl(args.output, asking.of_tests(rows, metrics, params))
        found = asking.evaluation_of(args.agent.name, args.index.name, metrics, questions)
        write_json(args.metrics, found.row())
    print(asking.result_line(found, args.metrics, args.output))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="what the pair is called")
    parser.add_argument("--agent", required=True, type=Path, help="folder of the language model")
    parser.add_argument("--index", required=True, type=Path, help="folder of the index")
    parser.add_argument("--retriever", type=Path, help="folder of the encoder; BM25 has none")
    parser.add_argument("--passages", required=True, type=Path, help="the corpus")
    parser.add_argument("--questions", required=True, type=Path, help="folder, one file a set")
    parser.add_argument("--development", type=Path, help="folder of development sets, or none")
    parser.add_argument("--output", required=True, type=Path, help="predictions, JSON Lines")
    parser.add_argument("--metrics", required=True, type=Path, help="the figures, JSON")
    return parser.parse_args(argv)


def _build(args: argparse.Namespace, params: Params, addresses: Sequence[str] = ()) -> Work:
    """Load the pair."""
    from stages.evaluation.asking import load_pair

    return partial(_rollouts, *load_pair(args, params, addresses), params)


def _rollouts(
    agent, searcher, protocol, params: Params, part: SetQuestions, advance: Advance
) -> list[dict]:
    from stages.evaluation.asking import answered, begun
    from stages.rollout.blocks import search_depth

    depth = search_depth(params.rollout, max([params.rollout.top_k, *params.evaluate.recall_at]))
    search = partial(searcher.search, top_k=depth)
    rollouts = begun(part, agent, protocol)
    return answered(part, rollouts, agent, search, protocol, params, advance)


if __name__ == "__main__":
    run(main)
