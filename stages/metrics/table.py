"""Figures as a tidy table, one number a row: stage, name, set, measure, value.

`name` is the iteration, the pair or the retriever that a file is called by; `set` the question set,
empty where figures are of none. The measure of a nested figure is its path, as `dropped.not_drawn`.
Values are as they were written, whole numbers whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("stage", "name", "set", "measure", "value")
MetricRow = tuple[str, str, str, str, float]


def rows(stage: str, name: str, metrics: dict) -> Iterator[MetricRow]:
    """The rows of one file's figures, in its order."""
    if stage == "evaluate":
        for question_set, measured in metrics["sets"].items():
            for measure, value in numbers(measured):
                yield stage, name, question_set, measure, value
        return
    for measure, value in numbers(metrics):
        yield stage, name, "", measure, value


def numbers(metrics: dict, path: str = "", joint: str = ".") -> Iterator[tuple[str, float]]:
    """(path, number) of nested figures, in their order; truths are no numbers."""
    for key, value in metrics.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{path}{key}{joint}", joint)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{path}{key}", value


def table(found: Iterable[MetricRow]) -> pd.DataFrame:
    """The rows as a table with COLUMNS."""
    import pandas as pd

    return pd.DataFrame(list(found), columns=list(COLUMNS), dtype=object)


def by_set(metrics: pd.DataFrame, measure: str) -> pd.DataFrame:
    """One row a name, one column a question set, in the order of the table; None where a name has
    no such figure."""
    wide = metrics[metrics["measure"] == measure].pivot(index="name", columns="set", values="value")
    order = [list(dict.fromkeys(metrics[column])) for column in ("name", "set")]
    wide = wide.reindex(index=order[0], columns=order[1])
    return wide.where(wide.notna(), None)
