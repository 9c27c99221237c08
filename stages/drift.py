"""How the agent's queries change over iterations: length, overlap, and distance in R_0's space.

Agentic-R trains R_k on queries of Agent_k, so a query distribution that moves between iterations is
a suspect when a later iteration gains nothing. The same test questions are asked in every
iteration, so their queries can be compared one by one: the n-th query of a question with the n-th
of the iteration before.

in:  predictions of the flywheel's pairs (Agent_K with R_K; K = 0: the base agent with R_0), and R_0
out: for each iteration the means over all queries, JSON
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from stages.common.records import write_json
from stages.common.trajectories import iter_trajectories
from stages.params import Params, load_params
from stages.plumbing.errors import run
from stages.scoring.answers import normalise

if TYPE_CHECKING:
    import numpy as np

AskedQueries = dict[tuple[str, str, int], tuple[str, str]]  # (set, id, n) -> (question, n-th query)
Vectors = dict[str, "np.ndarray"]


def main(argv: list[str] | None = None) -> None:
    """Measure the queries of every iteration."""
    args = _arguments(argv)
    params = load_params()

    from stages.common import portable
    from stages.encoders.encoding import DenseRetriever

    portable.start_computing(params.compute)
    iterations = {
        iteration: asked_in(args.predictions / f"{name}.jsonl")
        for iteration, name in flywheel_pairs(params).items()
    }
    retriever = DenseRetriever.load(
        args.retriever, device=params.compute.device, rows=params.compute.encoding_batch
    )
    texts = sorted(
        {text for asked in iterations.values() for pair in asked.values() for text in pair}
    )
    vectors = dict(zip(texts, retriever.encode_queries(texts), strict=True)) if texts else {}
    metrics, before = {}, {}
    for iteration, asked in iterations.items():
        metrics[iteration] = describe(asked, before, vectors)
        before = asked
    write_json(args.metrics, metrics)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--predictions", required=True, type=Path, help="folder, one file a pair")
    parser.add_argument("--retriever", required=True, type=Path, help="folder of R_0")
    parser.add_argument("--metrics", required=True, type=Path, help="figures by iteration, JSON")
    return parser.parse_args(argv)


def flywheel_pairs(params: Params) -> dict[str, str]:
    """Iteration -> name of the pair of Agent_K with R_K; 0 where `compare` has that pair."""
    first = [n for n, pair in params.compare.items() if (pair.agent, pair.retriever) == ("0", "0")]
    return dict(zip("0", first, strict=False)) | {k: k for k in params.iterations}


def asked_in(path: Path) -> AskedQueries:
    """Every searched query of a prediction file, with its question."""
    asked: AskedQueries = {}
    for trajectory in iter_trajectories(path, predictions=True):
        for number, query in enumerate(trajectory.queries):
            asked[*trajectory.key, number] = trajectory.question, query
    return asked


def describe(
    asked: AskedQueries, before: AskedQueries, vectors: Vectors
) -> dict[str, float | None]:
    """Means over an iteration's queries; those against the one before over the queries of both.

    `questions`: those with a query. Overlaps are shares of the query's distinct words that the
    question, or the earlier query, has too; distances are 1 less the cosine, from 0 to 2. None
    where there is nothing to average.
    """
    pairs = [(query, question) for question, query in asked.values()]
    same = [(query, before[key][1]) for key, (_, query) in asked.items() if key in before]
    return {
        "queries": len(pairs),
        "questions": len({key[:2] for key in asked}),
        "words_per_query": _mean([len(query.split()) for query, _ in pairs]),
        "overlap_with_question": _mean([overlap(*pair) for pair in pairs]),
        "distance_to_question": _mean([_distance(*pair, vectors) for pair in pairs]),
        "queries_of_both_iterations": len(same),
        "equal_to_previous_iteration": _mean([float(new == old) for new, old in same]),
        "overlap_with_previous_iteration": _mean([overlap(*pair) for pair in same]),
        "distance_to_previous_iteration": _mean([_distance(*pair, vectors) for pair in same]),
    }


def overlap(text: str, other: str) -> float:
    """Share of the distinct words of `text` that `other` has too, without case and punctuation."""
    words = set(normalise(text).split())
    return len(words & set(normalise(other).split())) / len(words) if words else 0.0


def _distance(text: str, other: str, vectors: Vectors) -> float:
    return 1.0 - float(vectors[text] @ vectors[other])


def _mean(values: list[float]) -> float | None:
    return round(fmean(values), 4) if values else None


if __name__ == "__main__":
    run(main)
