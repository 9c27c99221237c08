"""Trajectories as MLflow traces: an agent span, under it each turn's thought and its retrieval.

A retriever span's output is the list of documents that MLflow's page knows how to show. The times
of the spans only keep their order: a trajectory does not record how long its turns took.
"""

from __future__ import annotations

import time

from stages.common.records import Passage

MILLISECOND = 1_000_000  # nanoseconds


def log_trace(
    row: dict, label: str, passages: dict[str, Passage], *, experiment: str, run: str
) -> str:
    """One trajectory (a line of data/predictions) as a trace of the MLflow run `run`; its id."""
    import mlflow

    clock = time.time_ns()
    root = mlflow.start_span_no_context(
        name=row["question"],
        span_type="AGENT",
        inputs=row["question"],
        tags={
            "mlflow.traceName": row["question"],
            "pair": label,
            "question_set": row["set"],
            "question_id": row["id"],
        },
        metadata={"mlflow.sourceRun": run},
        experiment_id=experiment,
        start_time_ns=clock,
    )
    for turn in row["turns"]:
        clock += MILLISECOND
        _turn(root, turn, passages, clock)
    clock += 2 * MILLISECOND
    root.set_attributes({"searches": row["searches"], "stop": row["stop"]})
    answer = "(no answer)" if row["answer"] is None else row["answer"]
    root.end(outputs=answer, end_time_ns=clock)
    return root.trace_id


def assess(trace: str, row: dict) -> None:
    """Put the gold answers and the exact match beside a trace that the store holds already."""
    import mlflow

    mlflow.log_expectation(
        trace_id=trace, name="golden_answers", value=" / ".join(row["golden_answers"])
    )
    mlflow.log_feedback(trace_id=trace, name="exact_match", value=bool(row["em"]))


def _turn(root, turn: dict, passages: dict[str, Passage], clock: int) -> None:
    import mlflow

    def span(name: str, kind: str, inputs: dict, outputs: object, start: int) -> None:
        made = mlflow.start_span_no_context(
            name=name, span_type=kind, parent_span=root, inputs=inputs, start_time_ns=start
        )
        made.end(outputs=outputs, end_time_ns=start + MILLISECOND // 2)

    span("agent turn", "LLM", {}, turn["text"], clock)
    if turn["query"] is not None:
        documents = [_document(hit, rank, passages) for rank, hit in enumerate(turn["passages"], 1)]
        query = {"query": turn["query"]}
        span("search", "RETRIEVER", query, documents, clock + MILLISECOND // 2)


def _document(hit: dict, rank: int, passages: dict[str, Passage]) -> dict:
    passage = passages.get(hit["id"])
    return {
        "page_content": passage.text if passage else "",
        "metadata": {
            "doc_uri": passage.title if passage else hit["id"],
            "rank": rank,
            "score": hit["score"],
        },
        "id": hit["id"],
    }
