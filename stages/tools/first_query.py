"""Recall of each question's first query, read alone and together with the question.

A trained R_k reads the question beside the query, R_0 the query alone: this tells apart what R_k
gains by its training from what it gains by reading more. The queries are those of an evaluation's
predictions, written before the agent saw any passage, so they are the same for every retriever.

In: predictions, an index with its retriever, the corpus. Out: JSON, recall at `evaluate.recall_at`
for the query alone and for `question [SEP] query`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.common.records import write_json
from stages.common.trajectories import Trajectory, read_predictions
from stages.params import Params, load_params
from stages.plumbing import errors

INPUTS = ("query", "question_query")


def first_query_metrics(predictions: list[Trajectory], searcher, recall_at: list[int]) -> dict:
    """Recall by input and k. A question that was answered without a search is a miss."""
    from stages.common.search import SearchRequest
    from stages.encoders.query_format import QueryFormat
    from stages.evaluation.recall import first_query_recall

    firsts = [next(trajectory.requests(), None) for trajectory in predictions]
    asked = [request for _, request in filter(None, firsts)]
    support = [trajectory.supporting_ids or [] for trajectory in predictions]
    found: dict = {"questions": len(predictions), "queries": len(asked)}
    for name in INPUTS:
        texts = [QueryFormat(name).text(request) for request in asked]
        requests = [SearchRequest(None, (), text) for text in texts]
        hits = iter(searcher.search(requests, max(recall_at)))
        rankings = [[[hit.passage.id for hit in next(hits)]] if first else [] for first in firsts]
        found[name] = {str(k): first_query_recall(support, rankings, k) for k in recall_at}
    return found


def main(argv: list[str] | None = None) -> None:
    """Measure one retriever."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--predictions", type=Path, required=True, help="of an evaluated pair")
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--retriever", type=Path, help="folder of the encoder; BM25 has none")
    parser.add_argument("--passages", type=Path, default=Path("data/corpus/passages.jsonl"))
    parser.add_argument("--output", type=Path, required=True, help="figures, JSON")
    args = parser.parse_args(argv)
    params = load_params()
    predictions = read_predictions(args.predictions)
    measured = first_query_metrics(predictions, _searcher(args, params), params.evaluate.recall_at)
    write_json(args.output, measured)


def _searcher(args: argparse.Namespace, params: Params):
    from stages.retrieval.searcher import load_searcher

    return load_searcher(args.index, args.passages, args.retriever, params.compute)


if __name__ == "__main__":
    errors.run(main)
