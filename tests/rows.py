"""Rows of trajectories and predictions, of which a test says only what it is about."""

from collections.abc import Iterable, Sequence

from stages.common.trajectories import Trajectory, trajectory_of
from stages.evaluation.summary import SetMetrics


def turn_row(**said) -> dict:
    """A turn; without a `query` one that searches nothing."""
    usual = {"text": "", "token_ids": [], "thought": "", "query": None}
    return usual | {"passages": [], "information": ""} | said


def trajectory_row(identifier: str, *turns: dict, **said) -> dict:
    """A trajectory with `turns`, of which each is a part of a turn's row."""
    usual = {"id": identifier, "question": "Who?", "golden_answers": ["a"]}
    usual |= {"turns": [turn_row(**turn) for turn in turns], "answer": None, "em": 0, "f1": 0.0}
    usual |= {"searches": sum(turn.get("query") is not None for turn in turns), "stop": "answer"}
    return usual | said


def prediction(identifier: str, *turns: dict, **said) -> Trajectory:
    """A trajectory of the question set `a`, unless another `set` is said."""
    return trajectory_of({"set": "a"} | trajectory_row(identifier, *turns, **said), "a test")


def set_metrics(
    rows: Iterable[Trajectory], recall_at: Sequence[int] = (3, 20), shown: int = 3
) -> dict:
    """The figures of predictions of one set, as a file has them."""
    found = SetMetrics(recall_at, shown, most_searches=4)
    for row in rows:
        found.add(row)
    return found.metrics()
