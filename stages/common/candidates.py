"""Intermediate queries, the passages that stand as their candidates, and the labels of those."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from stages.common.fields import Fields
from stages.common.records import check_new, iter_jsonl
from stages.common.search import SearchRequest
from stages.common.trajectories import Shown, Trajectory, iter_trajectories, shown_of
from stages.plumbing.errors import InputError

T = TypeVar("T")
PassageScores = dict[str, int] | None  # by passage id; None where the signal was off


@dataclass(frozen=True)
class Query:
    """An intermediate query: that of `turn` (from 0) of the trajectory of `question_id`."""

    id: str
    question_id: str
    turn: int
    request: SearchRequest

    def row(self) -> dict:
        """As a file has it."""
        asked = self.request
        return {
            "id": self.id,
            "question_id": self.question_id,
            "turn": self.turn,
            "question": asked.question,
            "query": asked.query,
            "history": list(asked.history),
            "thought": asked.thought,
        }


@dataclass(frozen=True)
class QueryCandidates:
    """A query and its candidates, best first."""

    query: Query
    candidates: list[Shown]

    @property
    def id(self) -> str:
        """The query's."""
        return self.query.id

    @property
    def ids(self) -> list[str]:
        """The passage ids, best first."""
        return [candidate.id for candidate in self.candidates]

    def row(self) -> dict:
        """As a file has it."""
        found = [candidate.row() for candidate in self.candidates]
        return {**self.query.row(), "candidates": found}


@dataclass(frozen=True)
class Labels:
    """LR or GAC of a query's candidates; `sub_answer` is the judge's, None where it is not sure."""

    id: str
    scores: PassageScores
    sub_answer: str | None = None


def queries_of(trajectory: Trajectory) -> Iterator[Query]:
    """The intermediate queries of a trajectory, in order."""
    for turn, request in trajectory.requests():
        yield Query(f"{trajectory.id}#{turn}", trajectory.id, turn, request)


def read_candidates(path: str | Path) -> list[QueryCandidates]:
    """A candidates file, whole; see iter_candidates."""
    return list(iter_candidates(path))


def iter_candidates(path: str | Path) -> Iterator[QueryCandidates]:
    """A candidates file, one query at a time. InputError names the line and the key of what is
    malformed.
    """
    seen: set[str] = set()
    for where, row in iter_jsonl(path):
        found = _candidates(row, where)
        check_new(found.id, seen, where)
        yield found


def wanted_by(path: str | Path) -> tuple[int, set[str]]:
    """How many queries a candidates file has, and the ids of the passages that they have."""
    count, wanted = 0, set()
    for each in iter_candidates(path):
        count += 1
        wanted.update(each.ids)
    return count, wanted


def _candidates(row: dict, where: str) -> QueryCandidates:
    read = Fields(row, where)
    query = Query(
        str(read.identifier("id")),
        str(read.identifier("question_id")),
        read.integer("turn", least=0),
        request_of(read),
    )
    return QueryCandidates(query, [shown_of(each) for each in read.objects("candidates")])


def request_of(read: Fields) -> SearchRequest:
    """A row's query with what a retriever may read beside it; rows of others may lack a thought."""
    return SearchRequest(
        read.text("question"),
        tuple(read.texts("history")),
        read.text("query"),
        read.text("thought", absent=True) or "",
    )


def iter_labels(path: str | Path, least: int, most: int) -> Iterator[Labels]:
    """A file of LR (0 to 100) or GAC (0 or 1), one query at a time. InputError for a malformed
    line.
    """
    seen: set[str] = set()
    for where, row in iter_jsonl(path, ("id", "scores")):
        read = Fields(row, where)
        sub_answer = read.text("sub_answer", none=True, absent=True)
        scores = read.grades("scores", least, most)
        found = Labels(str(read.identifier("id")), scores, sub_answer)
        check_new(found.id, seen, where)
        yield found


def iter_graded(
    candidates: str | Path, relevance: str | Path
) -> Iterator[tuple[QueryCandidates, Labels]]:
    """(query, LR) of every graded query of two files that are read side by side; see `upto`."""
    queries = iter_candidates(candidates)
    for grades in iter_labels(relevance, 0, 100):
        yield upto(grades.id, queries, relevance), grades
    deque(queries, maxlen=0)  # what is wrong in the rest is an error too


def iter_labelled(
    candidates: str | Path, relevance: str | Path, correctness: str | Path
) -> Iterator[tuple[QueryCandidates, Labels, Labels]]:
    """(query, LR, GAC) of every query with a GAC, likewise."""
    queries, graded = iter_candidates(candidates), iter_labels(relevance, 0, 100)
    for labels in iter_labels(correctness, 0, 1):
        query, grades = (upto(labels.id, rows, correctness) for rows in (queries, graded))
        yield query, grades, labels
    for rest in (queries, graded):
        deque(rest, maxlen=0)


def by_trajectory(
    trajectories: str | Path, rows: Iterable[T], query_of: Callable[[T], Query], path: str | Path
) -> Iterator[tuple[Trajectory, list[T]]]:
    """Each trajectory that has rows (of queries, read from `path`) with its rows; see `upto`."""
    told = iter_trajectories(trajectories)
    for question, found in groupby(rows, key=lambda row: query_of(row).question_id):
        yield upto(question, told, path), list(found)
    deque(told, maxlen=0)


def upto(identifier: str, rows: Iterator, path: str | Path):
    """The next of `rows` of this id, which stands in the file `path`.

    Files of one iteration have one order, so that each is read once, row by row, and none is held.
    InputError if there is no such row, or the order is another.
    """
    for row in rows:
        if row.id == identifier:
            return row
    raise InputError(
        f"{path}: '{identifier}' is not in the file that it was made from, or in another order"
    )
