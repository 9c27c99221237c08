"""Tables of studies (stages/tools/study.py). None need be there.

`NAME_contrasts.csv`: differences between variants over seeds; `NAME_price.csv`: what labels cost
against what they gave; `NAME_accuracy.csv`: the judge's grades against those of a perfect one, and
what they gave; `NAME_transfer.csv`: every agent with every retriever; `NAME_groups.csv`: what each
group of questions gains; `NAME_drift.csv`: how the queries change over iterations. EM from 0 to 1.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from stages.metrics.fields import LARGEST, MOST, hidden
from stages.plumbing.errors import InputError
from stages.reporting.results import retriever_label

ALL = "all"  # the question set that stands for all


@dataclass(frozen=True)
class ContrastResult:
    """A difference over `seeds` seeds with its 95 % interval."""

    contrast: str
    after: str
    before: str
    question_set: str
    measure: str
    seeds: int
    mean: float
    low: float
    high: float
    clear: bool


@dataclass(frozen=True)
class LabelPrice:
    """What iteration 1's labels cost under a variant, and EM of Agent_1 with the R_1 they gave."""

    variant: str
    seeds: int
    em: float
    em_low: float
    em_high: float
    rollouts: float
    written_tokens: float
    read_tokens: float

    @property
    def tokens(self) -> float:
        """Tokens written and read."""
        return self.written_tokens + self.read_tokens


@dataclass(frozen=True)
class Accuracy:
    """Shares of right grades of a judge and of grades on the right side of the threshold, and EM of
    Agent_1 with the R_1 that learned from `queries` queries (a mean over seeds)."""

    variant: str
    seeds: int
    judge_exact: float
    judge_same_side: float
    queries: float
    em: float
    em_low: float
    em_high: float


@dataclass(frozen=True)
class GroupResult:
    """What one group of questions or queries gains in a contrast, with its 95 % interval."""

    contrast: str
    measure: str
    group: str
    of: str
    count: int
    seeds: int
    mean: float
    low: float
    high: float
    clear: bool


@dataclass(frozen=True)
class Transfer:
    """EM and searches of an agent with a retriever on a question set."""

    agent: str
    retriever: str
    question_set: str
    seeds: int
    em: float
    em_low: float
    em_high: float
    searches: float


@dataclass(frozen=True)
class Drift:
    """Queries of one iteration of a run (stages/drift.py) and EM of its agent and retriever; None
    where there was nothing to average, as in iteration 0, which has none before."""

    seed: int
    variant: str
    iteration: str
    queries: int
    queries_of_both_iterations: int
    words_per_query: float | None
    equal_to_previous_iteration: float | None
    distance_to_question: float | None
    distance_to_previous_iteration: float | None
    em: float | None

    @property
    def same_query(self) -> float | None:
        """Share of all the iteration's queries that are word for word those of the one before."""
        if self.equal_to_previous_iteration is None:
            return None
        return self.equal_to_previous_iteration * self.queries_of_both_iterations / self.queries


TABLES = {
    "contrasts": ContrastResult,
    "price": LabelPrice,
    "accuracy": Accuracy,
    "transfer": Transfer,
    "groups": GroupResult,
    "drift": Drift,
}


@dataclass(frozen=True)
class StudyTables:
    """One study's tables; an empty list for a file that is not there."""

    name: str
    contrasts: list[ContrastResult]
    price: list[LabelPrice]
    accuracy: list[Accuracy]
    transfer: list[Transfer]
    groups: list[GroupResult]
    drift: list[Drift]


def read_studies(folder: Path) -> list[StudyTables]:
    """Every study that has one of the tables, by name."""
    names = {f.stem.removesuffix(f"_{t}") for t in TABLES for f in folder.glob(f"*_{t}.csv")}
    return [
        StudyTables(
            name, **{t: _rows(folder / f"{name}_{t}.csv", kind) for t, kind in TABLES.items()}
        )
        for name in sorted(names)
    ]


def _rows(path: Path, kind: type) -> list:
    """The lines of a table as `kind`; other columns are not read. InputError names the line."""
    if not path.exists():
        return []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path}: not a table (CSV, UTF-8)") from None
    reads: dict[str, Callable] = {"int": _count, "float": _number, "str": _text, "bool": _truth}
    reads["float | None"] = lambda text: None if text == "" else _number(text)
    found = []
    for number, line in enumerate(lines, 2):
        cells = {}
        for name, kind_of_cell in kind.__annotations__.items():
            try:
                cells[name] = reads[kind_of_cell](line[name])
            except (KeyError, TypeError, ValueError):
                wanted = kind_of_cell.removesuffix(" | None")
                raise InputError(f"{path}:{number}: no {wanted} in column '{name}'") from None
        found.append(kind(**cells))
    return found


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MOST:
        raise ValueError
    return number


def _number(text: str) -> float:
    number = float(text)
    if not abs(number) <= LARGEST:  # NaN is not either
        raise ValueError
    return number


def _text(text: str) -> str:
    if not text or hidden(text):
        raise ValueError
    return text


def _truth(text: str) -> bool:
    return {"True": True, "False": False}[text]


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
