"""The tables of studies (stages/tools/study.py) as the page shows them. None need be there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from stages.reporting.results import retriever_label
from stages.reporting.study_rows import (
    ALL,
    TABLES,
    Accuracy,
    ContrastResult,
    Drift,
    GridRow,
    GroupResult,
    LabelPrice,
    Transfer,
    read_rows,
    table_path,
)

SHOWN = ("contrasts", "price", "accuracy", "transfer", "grid", "groups", "drift")


@dataclass(frozen=True)
class StudyTables:
    """One study's tables; an empty list for a file that is not there."""

    name: str
    contrasts: list[ContrastResult]
    price: list[LabelPrice]
    accuracy: list[Accuracy]
    transfer: list[Transfer]
    grid: list[GridRow]
    groups: list[GroupResult]
    drift: list[Drift]
    pilot: bool  # contrasts without the rows of their seeds, as version 0.1.0 left them

    @property
    def mixed(self) -> bool:
        """Whether seeds of several states of the code or the parameters stand behind some row."""
        tables = (self.contrasts, self.price, self.accuracy, self.transfer, self.grid, self.groups)
        return any(row.states > 1 for rows in tables for row in rows)


def read_studies(folder: Path) -> list[StudyTables]:
    """Every study that has one of the tables, by name."""
    names = {f.stem.removesuffix(f"_{t}") for t in SHOWN for f in folder.glob(f"*_{t}.csv")}
    return [_tables(folder, name) for name in sorted(names)]


def _tables(folder: Path, name: str) -> StudyTables:
    shown = {table: read_rows(table_path(folder, name, table), TABLES[table]) for table in SHOWN}
    seeds = table_path(folder, name, "seeds").exists()
    return StudyTables(name, **shown, pilot=bool(shown["contrasts"]) and not seeds)


def front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The Pareto front of (cost, gain): the points that no other beats in both, by cost."""
    kept: list[tuple[float, float]] = []
    for cost, gain in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or gain > kept[-1][1]:
            kept.append((cost, gain))
    return kept


@dataclass(frozen=True)
class Cell:
    """A pair over all question sets; no interval where the table has none for all sets."""

    em: float
    interval: tuple[float, float] | None
    searches: float


@dataclass(frozen=True)
class Matrix:
    """Agents as rows, retrievers as columns; a pair that was not evaluated has no cell."""

    agents: list[str]
    retrievers: list[str]
    cells: dict[tuple[str, str], Cell]


def matrix(rows: list[Transfer]) -> Matrix:
    """The rows of all question sets together, or else means over the sets."""
    pairs: dict[tuple[str, str], list[Transfer]] = {}
    for row in rows:
        pairs.setdefault((row.agent, row.retriever), []).append(row)
    return Matrix(
        list(dict.fromkeys(agent for agent, _ in pairs)),
        list(dict.fromkeys(retriever for _, retriever in pairs)),
        {pair: _cell(found) for pair, found in pairs.items()},
    )


def _cell(rows: list[Transfer]) -> Cell:
    for row in rows:
        if row.question_set == ALL:
            return Cell(row.em, (row.em_low, row.em_high), row.searches)
    return Cell(fmean(row.em for row in rows), None, fmean(row.searches for row in rows))


def retriever_name(retriever: str) -> str:
    """How the page calls a retriever of the transfer table: `2`, `bm25`, `1:no_gac`."""
    name, _, variant = retriever.partition(":")
    label = retriever_label(name)
    return f"{label} ({variant.replace('_', ' ')})" if variant else label
