"""Trajectories as MLflow traces: an agent span, under it each turn's thought and its retrieval.

A retriever span's output is the list of documents that MLflow's page knows how to show. No trace
has a duration, as a trajectory does not record how long its turns took: every span starts and ends
at one time, a nanosecond after the one before, which keeps their order.
"""

from __future__ import annotations

import time

from stages.common.records import Passage
from stages.common.trajectories import Shown, Trajectory, Turn


def log_trace(
    row: Trajectory, label: str, passages: dict[str, Passage], *, experiment: str, run: str
) -> str:
    """One trajectory (a line of data/predictions) as a trace of the MLflow run `run`; its id."""
    import mlflow

    clock = time.time_ns()
    root = mlflow.start_span_no_context(
        name=row.question,
        span_type="AGENT",
        inputs=row.question,
        tags={
            "mlflow.traceName": row.question,
            "pair": label,
            "question_set": row.set,
            "question_id": row.id,
        },
        metadata={"mlflow.sourceRun": run},
        experiment_id=experiment,
        start_time_ns=clock,
    )
    for place, turn in enumerate(row.turns):
        _turn(root, turn, passages, clock + 2 * place + 1)
    root.set_attributes({"searches": row.searches, "stop": row.stop})
    answer = "(no answer)" if row.answer is None else row.answer
    root.end(outputs=answer, end_time_ns=clock)
    return root.trace_id


def forget_duration(trace: str) -> None:
    """Take the duration off a trace that the store holds: MLflow computes one from the spans."""
    from mlflow.tracing.client import TracingClient

    client = TracingClient()
    info = client.get_trace_info(trace)
    info.execution_duration = None
    client.start_trace(info)  # of a trace that is there already, this writes the info anew


def assess(trace: str, row: Trajectory) -> None:
    """Put the gold answers and the exact match beside a trace that the store holds already."""
    import mlflow

    mlflow.log_expectation(
        trace_id=trace, name="golden_answers", value=" / ".join(row.golden_answers)
    )
    mlflow.log_feedback(trace_id=trace, name="exact_match", value=bool(row.em))


def _turn(root, turn: Turn, passages: dict[str, Passage], clock: int) -> None:
    import mlflow

    def span(name: str, kind: str, inputs: dict, outputs: object, start: int) -> None:
        made = mlflow.start_span_no_context(
            name=name, span_type=kind, parent_span=root, inputs=inputs, start_time_ns=start
        )
        made.end(outputs=outputs, end_time_ns=start)

    span("agent turn", "LLM", {}, turn.text, clock)
    if turn.query is not None:
        documents = [_document(hit, rank, passages) for rank, hit in enumerate(turn.passages, 1)]
        query = {"query": turn.query}
        span("search", "RETRIEVER", query, documents, clock + 1)


def _document(hit: Shown, rank: int, passages: dict[str, Passage]) -> dict:
    passage = passages.get(hit.id)
    return {
        "page_content": passage.text if passage else "",
        "metadata": {
            "doc_uri": passage.title if passage else hit.id,
            "rank": rank,
            "score": hit.score,
        },
        "id": hit.id,
    }
