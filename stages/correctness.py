"""Step B5: global answer correctness (GAC) of candidates, by rollouts to the final answer.

In: candidates, their LR, the trajectories they come from, Agent_k and the index of R_(k-1). Out:
for each query the GAC (0 or 1) of the candidates that were evaluated: with `correctness.mode: lazy`
those that selection can depend on, with `exhaustive` all 20, as in the paper; null with `off`, the
ablation without GAC.
"""

from __future__ import annotations

import argparse
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from stages.errors import run
from stages.params import CorrectnessMode, Params, load_params
from stages.scratch import Scratch, fingerprint
from stages.workers import Advance, Work, Workers, shards

if TYPE_CHECKING:
    from stages.labels.correctness import Start

SHARD = 256  # rollouts between two save points


def main(argv: list[str] | None = None) -> None:
    """Evaluate the candidates of one turn of the flywheel."""
    args = _arguments(argv)
    params = load_params()

    from stages.labels.correctness import figures, levels
    from stages.labels.queries import match_rows, ranked_ids, read_candidates
    from stages.records import read_jsonl, write_json, write_jsonl

    graded = read_jsonl(args.relevance, ("id", "scores"))
    matched = match_rows(read_candidates(args.candidates), graded, args.relevance)
    mode, threshold = params.correctness.mode, params.pairs.threshold
    plans = {
        row["id"]: levels(ranked_ids(row), relevance["scores"], mode, threshold)
        for row, relevance in matched
    }
    if mode is CorrectnessMode.off:
        write_jsonl(args.output, ({"id": identifier, "scores": None} for identifier in plans))
        write_json(args.metrics, {"in": len(plans), "out": len(plans), "dropped": {}})
        return
    index = f"{args.index}/index.json"  # names the corpus and the retriever by their digests
    files = (args.candidates, args.relevance, args.trajectories, args.agent, index)
    settings = [mode.value, threshold, params.protocol, params.generation, params.rollout]
    key = fingerprint(settings, *files)
    with Scratch(f"correctness@{args.turn}", key) as scratch:
        queries = [row for row, _ in matched]
        scores, rollouts = _evaluate(queries, plans, args, params, scratch)
        write_jsonl(args.output, ({"id": i, "scores": scores[i]} for i in plans))
        candidates = sum(len(row["candidates"]) for row in queries)
        write_json(args.metrics, figures(scores, plans, rollouts, candidates))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turn", required=True, help="k, the turn of the flywheel")
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


def _evaluate(
    queries: list[dict],
    plans: dict[str, list[list[str]]],
    args: argparse.Namespace,
    params: Params,
    scratch: Scratch,
) -> tuple[dict[str, dict[str, int]], int]:
    """GAC by query and passage, and the number of rollouts that it took."""
    from stages.labels.correctness import Finisher, by_levels
    from stages.labels.queries import find_passages, read_trajectories
    from stages.progress import progress

    build, compute = partial(_build, args, params), params.compute
    with (
        progress(total=0, desc="correctness", unit="rollout") as bar,
        Workers(build, compute, scratch, devices=compute.tensor_parallel) as workers,
    ):

        def plan(pairs: int) -> None:
            bar.total = bar.n + pairs
            bar.refresh()

        def finish(starts: list[Start], first: int):
            return chain.from_iterable(workers.map(shards(starts, SHARD, first), bar.update))

        finisher = Finisher(
            queries={row["id"]: row for row in queries},
            trajectories={row["id"]: row for row in read_trajectories(args.trajectories)},
            passages=find_passages(args.passages, queries),
            finish=finish,
            advance=bar.update,
        )
        return by_levels(plans, finisher, plan), finisher.rollouts


def _build(args: argparse.Namespace, params: Params) -> Work:
    """Load the models that finish trajectories."""
    from stages.labels import correctness
    from stages.retrieval.searcher import load_searcher
    from stages.rollout.agents import load_agent
    from stages.rollout.loop import Limits
    from stages.rollout.protocol import Protocol

    compute = params.compute
    agent = load_agent(args.agent, params.generation, compute)
    searcher = load_searcher(args.index, args.passages, args.retriever, compute)
    search = partial(searcher.search, top_k=params.rollout.top_k)
    protocol, limits = Protocol(params.protocol), Limits.of(params.rollout)

    def finish(part: list[Start], advance: Advance) -> list[dict]:
        return correctness.finish(part, agent, search, protocol, limits, advance)

    return finish


if __name__ == "__main__":
    run(main)
