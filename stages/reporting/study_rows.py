"""The rows of a study's tables (stages/tools/study.py), as they are written and read.

EM and other shares from 0 to 1; intervals of 95 %. A table of an older version may lack the columns
that have a default here.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TypeVar

from stages.metrics.fields import LARGEST, MOST, hidden
from stages.plumbing.errors import InputError

ALL = "all"  # the question set that stands for all


@dataclass(frozen=True, kw_only=True)
class OfSeed:
    """A row of one seed, and what made it: the commit, and the fingerprint of all that decides its
    figures (stages/studies/states.py); None in a table of version 0.1.0."""

    seed: int
    commit: str | None = None
    state: str | None = None


@dataclass(frozen=True, kw_only=True)
class PairRow(OfSeed):
    """STUDY.csv: what a pair measured in one experiment on a question set; `recall` by its k."""

    variant: str
    agent: str
    retriever: str
    question_set: str
    questions: int
    em: float
    f1: float
    searches: float
    unanswered: float
    found: float | None
    recall: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class LabelRow(OfSeed):
    """`labels`: what the labels of one experiment's iteration cost, and what came of them; None for
    what was not counted, or where there is no judge."""

    variant: str
    iteration: str
    queries: int
    selection_rate: float
    instances: int
    rollouts: int | None
    written_tokens: int | None
    read_tokens: int | None
    uniform_share: float | None
    judge_exact: float | None
    judge_same_side: float | None


@dataclass(frozen=True, kw_only=True)
class SeedRow(OfSeed):
    """`seeds`: what one seed's `after` has more of than its `before` (sides as VARIANT/AGENT/
    RETRIEVER), a mean over `questions`; without a `before`, what `after` has. `group`: of which
    questions or queries, where not of all (`questions` are then `after`'s, `questions_before` the
    other's). `error`: the standard error over the questions' `chains` of facts, None of one chain.
    `asked`: equal for two seeds that may have been asked the same questions."""

    contrast: str | None
    after: str
    before: str | None
    question_set: str
    group: str | None
    measure: str
    questions: int
    questions_before: int | None
    mean: float
    error: float | None
    chains: int
    asked: str


@dataclass(frozen=True, kw_only=True)
class ContrastResult:
    """`contrasts`: a difference over `seeds` seeds with its interval. `spread`: standard deviation
    of the seeds' means; `question_error`: what of it their questions explain. A primary claim is
    clear by its p as Holm's rule adjusts it. `states`: how many states made its rows."""

    contrast: str
    after: str
    before: str
    question_set: str
    measure: str
    seeds: int
    mean: float
    median: float | None = None
    low: float
    high: float
    p: float | None = None
    spread: float | None = None
    question_error: float | None = None
    clear: bool
    claim: bool = False
    p_adjusted: float | None = None
    states: int = 1


@dataclass(frozen=True, kw_only=True)
class LabelPrice:
    """`price`: what iteration 1's labels cost under a variant (means over seeds), and EM of Agent_1
    with the R_1 they gave."""

    variant: str
    seeds: int
    em: float
    em_low: float
    em_high: float
    rollouts: float
    written_tokens: float
    read_tokens: float
    selection_rate: float
    states: int = 1

    @property
    def tokens(self) -> float:
        """Tokens written and read."""
        return self.written_tokens + self.read_tokens


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """`accuracy`: shares of right grades of a judge and of grades on the right side of the
    threshold, and EM of Agent_1 with the R_1 that learned from `queries` queries (a mean over
    seeds)."""

    variant: str
    seeds: int
    judge_exact: float
    judge_same_side: float
    queries: float
    em: float
    em_low: float
    em_high: float
    states: int = 1


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """`transfer`: an agent with a retriever on a question set."""

    agent: str
    retriever: str
    question_set: str
    seeds: int
    em: float
    em_low: float
    em_high: float
    searches: float
    searches_low: float
    searches_high: float
    f1: float | None = None
    unanswered: float | None = None
    found: float | None = None
    states: int = 1


@dataclass(frozen=True, kw_only=True)
class GridRow:
    """`grid`: what a variant's R_1 learned from (`source` with what was taken away and added,
    `instances` None: all), how negatives and instances weigh, and what it reads; EM and searches of
    Agent_1 with it."""

    variant: str
    source: str
    missed: float
    false: float
    instances: int | None
    weights: str
    input: str
    seeds: int
    em: float
    em_low: float
    em_high: float
    searches: float
    searches_low: float
    searches_high: float
    states: int = 1


@dataclass(frozen=True, kw_only=True)
class GroupResult:
    """`groups`: what one group of questions or queries gains in a contrast; `after` has `count` of
    them, `before` `count_before`."""

    contrast: str
    measure: str
    group: str
    of: str
    count: int
    count_before: int | None = None
    seeds: int
    mean: float
    median: float | None = None
    low: float
    high: float
    p: float | None = None
    spread: float | None = None
    question_error: float | None = None
    clear: bool
    states: int = 1


@dataclass(frozen=True, kw_only=True)
class Drift(OfSeed):
    """`drift`: queries of one iteration of a run (stages/drift.py) and EM of its agent and
    retriever; None where there was nothing to average, as in iteration 0, which has none before."""

    variant: str
    iteration: str
    queries: int
    questions: int | None = None
    words_per_query: float | None
    overlap_with_question: float | None = None
    distance_to_question: float | None
    queries_of_both_iterations: int
    equal_to_previous_iteration: float | None
    overlap_with_previous_iteration: float | None = None
    distance_to_previous_iteration: float | None
    em: float | None

    @property
    def same_query(self) -> float | None:
        """Share of all the iteration's queries that are word for word those of the one before."""
        if self.equal_to_previous_iteration is None:
            return None
        return self.equal_to_previous_iteration * self.queries_of_both_iterations / self.queries


TABLES: dict[str, type] = {
    "": PairRow,
    "labels": LabelRow,
    "seeds": SeedRow,
    "contrasts": ContrastResult,
    "price": LabelPrice,
    "accuracy": Accuracy,
    "transfer": Transfer,
    "groups": GroupResult,
    "drift": Drift,
    "grid": GridRow,
}
StudyRow = TypeVar("StudyRow")


def table_path(folder: Path, study: str, table: str) -> Path:
    """Where a study's table lies, by its key in TABLES."""
    return folder / f"{study}_{table}.csv" if table else folder / f"{study}.csv"


def cells(row: object) -> dict:
    """A row's cells by column; a dict has one for each of its keys, as `recall_3`."""
    found: dict = {}
    for name, value in vars(row).items():
        found |= (
            {f"{name}_{key}": part for key, part in value.items()}
            if isinstance(value, dict)
            else {name: value}
        )
    return found


def read_rows(path: Path, kind: type[StudyRow]) -> list[StudyRow]:
    """The lines of a table, none of a file that is not there; other columns are not read.
    InputError names the line and the column."""
    if not path.exists():
        return []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path}: not a table (CSV, UTF-8)") from None
    return [_row(line, kind, f"{path}:{number}") for number, line in enumerate(lines, 2)]


def _row(line: dict, kind: type[StudyRow], where: str) -> StudyRow:
    found = {}
    for column in fields(kind):
        name, wanted = column.name, str(column.type)
        if wanted.startswith("dict"):
            columns = [key for key in line if key and key.startswith(f"{name}_")]
            found[name] = {
                key.removeprefix(f"{name}_"): _cell(line, key, "float | None", where)
                for key in columns
            }
        elif name in line or column.default is MISSING:
            found[name] = _cell(line, name, wanted, where)
    return kind(**found)


def _cell(line: dict, column: str, wanted: str, where: str) -> object:
    kind = wanted.removesuffix(" | None")
    try:
        if kind != wanted and line[column] == "":
            return None
        return READS[kind](line[column])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{where}: no {kind} in column '{column}'") from None


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


READS: dict[str, Callable] = {"int": _count, "float": _number, "str": _text, "bool": _truth}


def as_table(rows: Iterable[object]) -> str:
    """The rows as CSV."""
    from stages.common.records import as_csv

    return as_csv([cells(row) for row in rows])
