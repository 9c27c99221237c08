"""Step B5: global answer correctness (GAC) of candidates, by rollouts to the final answer.

In: candidates, their LR, the trajectories they come from, Agent_k and the index of R_(k-1). Out:
for each query the GAC (0 or 1) of the candidates that were evaluated: with `correctness.mode: lazy`
those that selection can depend on, with `exhaustive` all 20, as in the paper; null with `off`, the
ablation without GAC. The metrics say what each took in rollouts and tokens.

A rollout in which the agent has no room for a turn, or writes neither a query nor an answer, is
lost: its 0 says nothing of the passage. Where more than `correctness.max_dropped` are lost, the
stage fails at its end.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from stages.params import CorrectnessMode, Params, load_params
from stages.plumbing.errors import run
from stages.running.scratch import Scratch, fingerprint
from stages.running.workers import Advance, Work, Workers, shards

if TYPE_CHECKING:
    from stages.common.candidates import QueryCandidates
    from stages.gac.rollouts import GacCost, Start

SHARD = 256  # rollouts between two save points
CorrectnessScores = dict[str, dict[str, int]]  # GAC by query and passage


@dataclass(frozen=True)
class CorrectnessJob:
    """What is evaluated, and with what; `plans` (see levels) are by query."""

    args: argparse.Namespace
    params: Params
    queries: list[QueryCandidates]
    plans: dict[str, list[list[str]]]
    scratch: Scratch


def main(argv: list[str] | None = None) -> None:
    """Evaluate the candidates of one iteration of the flywheel."""
    args = _arguments(argv)
    params = load_params()

    from stages.common.candidates import match, read_candidates, read_labels
    from stages.common.records import write_json, write_jsonl
    from stages.gac.rollouts import correctness_metrics
    from stages.plumbing.losses import check_lost

    graded = read_labels(args.relevance, 0, 100)
    matched = match(read_candidates(args.candidates), graded, args.relevance)
    queries = [each for each, _ in matched]
    mode = params.correctness.mode
    if mode is CorrectnessMode.off:
        write_jsonl(args.output, ({"id": each.id, "scores": None} for each in queries))
        write_json(args.metrics, {"in": len(queries), "out": len(queries), "dropped": {}})
        return
    relevance = {each.id: grades.scores for each, grades in matched}
    plans = _plans(queries, relevance, params)
    index = f"{args.index}/index.json"  # names the corpus and the retriever by their digests
    files = (args.candidates, args.relevance, args.trajectories, args.agent, index)
    stage = f"correctness@{args.iteration}"
    with Scratch(stage, fingerprint(stage, params, *files)) as scratch:
        job = CorrectnessJob(args, params, queries, plans, scratch)
        scores, price = _evaluate(job)
        rows = ({"id": query, "scores": values} for query, values in scores.items())
        write_jsonl(args.output, rows)
        candidates = sum(len(each.candidates) for each in queries)
        found = correctness_metrics(scores, plans, price, candidates)
        write_json(args.metrics, found)
        check_lost(
            stage,
            "rollouts",
            found["lost"],
            found["rollouts"],
            params.correctness.max_dropped,
            "length: see 'rollout.max_context_tokens'; invalid: the agent's turns are in "
            f"{args.trajectories}",
        )


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iteration", required=True, help="k, the iteration of the flywheel")
    parser.add_argument("--candidates", required=True, help="rows of the stage candidates")
    parser.add_argument("--relevance", required=True, help="rows of the stage relevance")
    parser.add_argument("--trajectories", required=True, help="trajectories of Agent_k")
    parser.add_argument("--agent", required=True, help="folder of Agent_k")
    parser.add_argument("--retriever", required=True, help="folder of R_(k-1)")
    parser.add_argument("--index", required=True, help="folder of its index")
    parser.add_argument("--passages", required=True, help="the corpus")
    parser.add_argument("--output", required=True, help="a row for each query, JSON Lines")
    parser.add_argument("--metrics", required=True, help="counts, JSON")
    return parser.parse_args(argv)


def _plans(queries: list[QueryCandidates], relevance: dict, params: Params) -> dict:
    """The levels of each query."""
    from stages.gac.rollouts import levels

    block, threshold = params.correctness, params.pairs.threshold
    options = {"top": block.top, "whole_levels": block.whole_levels}
    return {
        each.id: levels(each.ids, relevance[each.id], block.mode, threshold, **options)
        for each in queries
    }


def _evaluate(job: CorrectnessJob) -> tuple[CorrectnessScores, GacCost]:
    """GAC of what is planned, and what it took."""
    from stages.common.candidates import find_passages
    from stages.common.trajectories import read_trajectories
    from stages.gac.rollouts import Finisher, by_levels
    from stages.plumbing.progress import progress

    build, compute = partial(_build, job.args, job.params), job.params.compute
    inputs = [job.args.agent, job.args.retriever, job.args.index, job.args.passages]
    with (
        progress(total=0, desc="correctness", unit="rollout") as bar,
        Workers(
            build, compute, job.scratch, inputs=inputs, devices=compute.tensor_parallel
        ) as workers,
    ):

        def plan(pairs: int) -> None:
            bar.total = bar.n + pairs
            bar.refresh()

        def finish(starts: list[Start], first: int):
            return chain.from_iterable(workers.map(shards(starts, SHARD, first), bar.update))

        finisher = Finisher(
            queries={each.id: each.query for each in job.queries},
            trajectories={each.id: each for each in read_trajectories(job.args.trajectories)},
            passages=find_passages(job.args.passages, job.queries),
            finish=finish,
            advance=bar.update,
        )
        return by_levels(job.plans, finisher, plan), finisher.price


def _build(args: argparse.Namespace, params: Params) -> Work:
    """Load the models that finish trajectories."""
    from stages.engines.loading import load_agent
    from stages.gac import rollouts
    from stages.retrieval.searcher import load_searcher
    from stages.rollout.loop import Limits
    from stages.rollout.protocol import load_protocol

    compute = params.compute
    agent = load_agent(args.agent, params.generation, compute)
    searcher = load_searcher(args.index, args.passages, args.retriever, compute)
    search = partial(searcher.search, top_k=params.rollout.top_k)
    protocol, limits = load_protocol(args.agent, params.protocol), Limits.of(params.rollout)

    def finish(part: list[Start], advance: Advance) -> list[dict]:
        return rollouts.finish(part, agent, search, protocol, limits, advance)

    return finish


if __name__ == "__main__":
    run(main)
