"""Step B2: the top passages of R_(k-1) for every intermediate query of the trajectories.

In: trajectories of Agent_k, the index of R_(k-1). Out: for each query that was searched its
`candidates.top_k` (20) passages in rank order; a query with fewer is dropped and counted.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from stages.params import Params, load_params
from stages.plumbing.errors import run
from stages.running.scratch import Scratch, fingerprint
from stages.running.workers import Advance, Work, rows_of

if TYPE_CHECKING:
    from stages.common.candidates import Query
    from stages.common.trajectories import Trajectory

SHARD = 1024  # queries between two save points


def main(argv: list[str] | None = None) -> None:
    """Find the candidates of one iteration of the flywheel."""
    args = _arguments(argv)
    params = load_params()

    from stages.common.candidates import queries_of
    from stages.common.records import write_json, write_jsonl
    from stages.common.trajectories import read_trajectories

    trajectories = read_trajectories(args.trajectories)
    asked = [query for trajectory in trajectories for query in queries_of(trajectory)]
    index = f"{args.index}/index.json"  # names the corpus and the retriever by their digests
    stage = f"candidates@{args.iteration}"
    with Scratch(stage, fingerprint(stage, params, args.trajectories, index)) as scratch:
        rows = rows_of(
            asked,
            SHARD,
            partial(_build, args, params),
            params.compute,
            scratch,
            inputs=[args.retriever, args.index, args.passages],
            devices=1,
            desc="candidates",
            unit="query",
        )
        kept = [row for row in rows if len(row["candidates"]) == params.candidates.top_k]
        write_jsonl(args.output, kept)
        write_json(args.metrics, _metrics(trajectories, rows, kept))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iteration", required=True, help="k, the iteration of the flywheel")
    parser.add_argument("--trajectories", required=True, help="trajectories of Agent_k")
    parser.add_argument("--retriever", required=True, help="folder of R_(k-1)")
    parser.add_argument("--index", required=True, help="folder of its index")
    parser.add_argument("--passages", required=True, help="the corpus")
    parser.add_argument("--output", required=True, help="a row for each query, JSON Lines")
    parser.add_argument("--metrics", required=True, help="counts, JSON")
    return parser.parse_args(argv)


def _build(args: argparse.Namespace, params: Params) -> Work:
    """Load the retriever."""
    from stages.common.candidates import QueryCandidates
    from stages.common.trajectories import Shown
    from stages.retrieval.searcher import load_searcher

    searcher = load_searcher(args.index, args.passages, args.retriever, params.compute)

    def find(part: list[Query], advance: Advance) -> list[dict]:
        found = searcher.search([query.request for query in part], params.candidates.top_k)
        advance(len(part))
        return [
            QueryCandidates(query, [Shown(hit.passage.id, hit.score) for hit in hits]).row()
            for query, hits in zip(part, found, strict=True)
        ]

    return find


def _metrics(trajectories: list[Trajectory], rows: list[dict], kept: list[dict]) -> dict:
    with_queries = {row["question_id"] for row in rows}
    dropped = {"few_candidates": len(rows) - len(kept)}
    last = sum(trajectory.stop == "turns" for trajectory in trajectories)
    if last:  # searches of a last turn, after which nothing can be answered
        dropped["last_turn"] = last
    return {
        "in": len(rows) + last,
        "out": len(kept),
        "dropped": dropped,
        "trajectories": len(trajectories),
        "trajectories_without_query": len(trajectories) - len(with_queries),
    }


if __name__ == "__main__":
    run(main)
