"""Step B2: the top passages of R_(k-1) for every intermediate query of the trajectories.

In: trajectories of Agent_k, the index of R_(k-1). Out: for each query that was searched its
`candidates.top_k` (20) passages in rank order; a query with fewer is dropped and counted.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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
    from stages.common.trajectories import iter_trajectories
    from stages.serving.shared import shared_servers

    def told() -> Iterator[Trajectory]:
        return iter_trajectories(args.trajectories)

    trajectories = _counts(told())
    asked = (query for trajectory in told() for query in queries_of(trajectory))
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
            total=trajectories["queries"],
            server=partial(
                shared_servers, params.compute, args.index, args.passages, args.retriever
            ),
        )
        full = Counter()

        def kept() -> Iterator[dict]:
            for row in rows:
                whole = len(row["candidates"]) == params.candidates.top_k
                full[whole] += 1
                if whole:
                    yield row

        write_jsonl(args.output, kept())
        write_json(args.metrics, _metrics(trajectories, full[True], full[False]))


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


def _build(args: argparse.Namespace, params: Params, addresses: Sequence[str] = ()) -> Work:
    """Load the retriever."""
    from stages.common.candidates import QueryCandidates
    from stages.common.trajectories import Shown
    from stages.serving.shared import searcher_at

    searcher = searcher_at(addresses, args.index, args.passages, args.retriever, params.compute)

    def find(part: list[Query], advance: Advance) -> list[dict]:
        found = searcher.search([query.request for query in part], params.candidates.top_k)
        advance(len(part))
        return [
            QueryCandidates(query, [Shown(hit.passage.id, hit.score) for hit in hits]).row()
            for query, hits in zip(part, found, strict=True)
        ]

    return find


def _counts(trajectories: Iterable[Trajectory]) -> Counter[str]:
    """Trajectories, their queries, those without one, and those whose last query is of no use."""
    from stages.common.candidates import queries_of

    counts = Counter()
    for trajectory in trajectories:
        queries = sum(1 for _ in queries_of(trajectory))
        last = len(trajectory.queries) - queries  # none where a visit was the last turn
        counts.update({"trajectories": 1, "queries": queries})
        counts.update({"without": not queries, "last": last})
    return counts


def _metrics(trajectories: Counter[str], kept: int, few: int) -> dict:
    dropped = {"few_candidates": few}
    if last := trajectories["last"]:  # searches of a last turn, after which nothing can be answered
        dropped["last_turn"] = last
    return {
        "in": kept + few + last,
        "out": kept,
        "dropped": dropped,
        "trajectories": trajectories["trajectories"],
        "trajectories_without_query": trajectories["without"],
    }


if __name__ == "__main__":
    run(main)
