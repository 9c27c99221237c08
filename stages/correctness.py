"""Step B5: global answer correctness (GAC) of candidates, by rollouts to the final answer.

In: candidates, their LR, the trajectories they come from, Agent_k and the index of R_(k-1). Out:
for each query the GAC (0 or 1) of the candidates that were evaluated: with `correctness.mode: lazy`
those that selection can depend on, with `exhaustive` all 20, as in the paper; null with `off`, the
ablation without GAC. With `pairs.source: visits_then_gac` a query that has a visit in a right
trajectory needs no GAC: none of its candidates is evaluated, and the query is counted. The metrics
say what all of it took in rollouts and tokens.

A rollout in which the agent has no room for a turn, or writes neither a query nor an answer, is
lost: its 0 says nothing of the passage. Where more than `correctness.max_dropped` are lost, the
stage fails at its end.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from stages.params import CorrectnessMode, PairSource, Params, check_weights, load_params
from stages.plumbing.errors import run
from stages.running.scratch import Scratch, fingerprint
from stages.running.workers import Advance, Work, Workers, shards

if TYPE_CHECKING:
    from stages.common.candidates import Labels, QueryCandidates
    from stages.common.trajectories import Trajectory
    from stages.gac.rollouts import CorrectnessCounts, Start

SHARD = 256  # rollouts between two save points
CHUNK = 4096  # queries that advance together, level by level


@dataclass(frozen=True)
class CorrectnessJob:
    """What is evaluated, and with what."""

    args: argparse.Namespace
    params: Params
    scratch: Scratch


def main(argv: list[str] | None = None) -> None:
    """Evaluate the candidates of one iteration of the flywheel."""
    args = _arguments(argv)
    params = load_params()
    check_weights(params)

    from stages.common.candidates import iter_graded
    from stages.common.records import write_json, write_jsonl
    from stages.gac.rollouts import CorrectnessCounts
    from stages.plumbing.losses import check_lost

    if params.correctness.mode is CorrectnessMode.off:
        ids = [query.id for query, _ in iter_graded(args.candidates, args.relevance)]
        write_jsonl(args.output, ({"id": each, "scores": None} for each in ids))
        write_json(args.metrics, {"in": len(ids), "out": len(ids), "dropped": {}})
        return
    index = f"{args.index}/index.json"  # names the corpus and the retriever by their digests
    files = (args.candidates, args.relevance, args.trajectories, args.agent, index)
    spared = params.pairs.source is PairSource.visits_then_gac
    files += (args.visits,) if spared else ()
    stage = f"correctness@{args.iteration}"
    with Scratch(stage, fingerprint(stage, params, *files)) as scratch:
        counts = CorrectnessCounts()
        scored = _evaluate(CorrectnessJob(args, params, scratch), counts)
        write_jsonl(args.output, ({"id": query, "scores": values} for query, values in scored))
        found = counts.metrics()
        found |= {"visited": counts.sums["visited"]} if spared else {}
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
    parser.add_argument("--visits", required=True, help="rows of the stage visits")
    parser.add_argument("--trajectories", required=True, help="trajectories of Agent_k")
    parser.add_argument("--agent", required=True, help="folder of Agent_k")
    parser.add_argument("--retriever", required=True, help="folder of R_(k-1)")
    parser.add_argument("--index", required=True, help="folder of its index")
    parser.add_argument("--passages", required=True, help="the corpus")
    parser.add_argument("--output", required=True, help="a row for each query, JSON Lines")
    parser.add_argument("--metrics", required=True, help="counts, JSON")
    return parser.parse_args(argv)


def _graded(
    args: argparse.Namespace, params: Params
) -> Iterator[tuple[QueryCandidates, Labels, bool]]:
    """(query, its LR, whether what the agent used makes its GAC needless)."""
    from stages.common.candidates import iter_graded
    from stages.common.visits import with_visits

    graded = iter_graded(args.candidates, args.relevance)
    if params.pairs.source is not PairSource.visits_then_gac:
        yield from ((*row, False) for row in graded)
        return
    for row, seen in with_visits(graded, args.visits):
        yield *row, bool(seen.own.trusted)


def _plan(asked: QueryCandidates, grades: Labels, visited: bool, params: Params) -> list[list[str]]:
    """The levels of a query."""
    from stages.gac.rollouts import levels

    if visited:
        return []
    block, threshold = params.correctness, params.pairs.threshold
    options = {"top": block.top, "whole_levels": block.whole_levels}
    return levels(asked.ids, grades.scores, block.mode, threshold, **options)


def _evaluate(
    job: CorrectnessJob, counts: CorrectnessCounts
) -> Iterator[tuple[str, dict[str, int]]]:
    """(query, GAC of what is planned), CHUNK queries at a time; `counts` is told what they took."""
    from stages.common.candidates import by_trajectory
    from stages.common.corpus import WantedPassages
    from stages.common.trajectories import iter_trajectories
    from stages.gac.rollouts import Finisher, by_levels, listed_before
    from stages.plumbing.progress import progress
    from stages.rollout.protocol import load_protocol
    from stages.serving.shared import shared_servers

    args, params = job.args, job.params
    wanted: set[str] = set()
    for row in _graded(args, params):
        wanted.update(*_plan(*row, params))
    visits = load_protocol(args.agent, params.protocol).block.visit_tool is not None
    if visits:
        told = iter_trajectories(args.trajectories)
        wanted.update(*(listed_before(each, len(each.turns)) for each in told))
    passages = WantedPassages(args.passages, wanted)
    build, compute = partial(_build, args, params), params.compute
    options = {
        "inputs": [args.agent, args.retriever, args.index, args.passages],
        "devices": params.generation.tensor_parallel,
        "server": partial(
            shared_servers, params.compute, args.index, args.passages, args.retriever
        ),
    }
    with (
        progress(total=0, desc="correctness", unit="rollout") as bar,
        Workers(build, compute, job.scratch, **options) as workers,
    ):

        def plan(pairs: int) -> None:
            bar.total = bar.n + pairs
            bar.refresh()

        def finish(starts: list[Start], first: int):
            return chain.from_iterable(workers.map(shards(starts, SHARD, first), bar.update))

        graded = _graded(args, params)
        told = by_trajectory(args.trajectories, graded, lambda row: row[0].query, args.candidates)
        for chunk in _chunks(told):
            asked = {row[0].id: row for _, rows in chunk for row in rows}
            plans = {query: _plan(*row, params) for query, row in asked.items()}
            counts.sums["visited"] += sum(visited for *_, visited in asked.values())
            finisher = Finisher(
                queries={query: each.query for query, (each, *_) in asked.items()},
                trajectories={trajectory.id: trajectory for trajectory, _ in chunk},
                passages=passages,
                finish=finish,
                advance=bar.update,
                visits=visits,
                price=counts.price,
            )
            scores = by_levels(plans, finisher, plan)
            counts.add(scores, plans, sum(len(each.candidates) for each, *_ in asked.values()))
            yield from scores.items()


def _chunks(told: Iterable[tuple[Trajectory, list]]) -> Iterator[list[tuple[Trajectory, list]]]:
    """Trajectories with their queries, in lists of CHUNK queries or, the last, fewer. What is in
    memory does not grow with the questions, and a wave is still large enough for its batches.
    """
    chunk, queries = [], 0
    for trajectory, rows in told:
        chunk.append((trajectory, rows))
        queries += len(rows)
        if queries >= CHUNK:
            yield chunk
            chunk, queries = [], 0
    if chunk:
        yield chunk


def _build(args: argparse.Namespace, params: Params, addresses: Sequence[str] = ()) -> Work:
    """Load the models that finish trajectories."""
    from stages.engines.loading import load_agent
    from stages.gac import rollouts
    from stages.rollout.blocks import search_depth
    from stages.rollout.protocol import load_protocol
    from stages.rollout.visit_calls import with_visit_tool
    from stages.serving.shared import searcher_at

    compute = params.compute
    # first: it takes what the engine leaves
    searcher = searcher_at(addresses, args.index, args.passages, args.retriever, compute)
    protocol, limits = with_visit_tool(load_protocol(args.agent, params.protocol)), params.rollout
    search = partial(searcher.search, top_k=search_depth(limits, limits.top_k))
    agent = load_agent(args.agent, params.generation, compute, context=limits.max_context_tokens)

    def finish(part: list[Start], advance: Advance) -> list[dict]:
        return rollouts.finish(part, agent, search, protocol, limits, advance)

    return finish


if __name__ == "__main__":
    run(main)
