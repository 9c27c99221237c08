"""Intermediate queries, the passages that stand as their candidates, and the labels of those."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stages.common.fields import Fields
from stages.common.records import Passage, check_new, iter_jsonl, passage_of
from stages.common.search import SearchRequest
from stages.common.trajectories import Shown, Trajectory, shown_of
from stages.plumbing.errors import InputError

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
    """A candidates file. InputError names the line and the key of what is malformed."""
    found, seen = [], set()
    for where, row in iter_jsonl(path):
        found.append(_candidates(row, where))
        check_new(found[-1].id, seen, where)
    return found


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


def read_labels(path: str | Path, least: int, most: int) -> list[Labels]:
    """A file of LR (0 to 100) or GAC (0 or 1). InputError for a malformed line."""
    found, seen = [], set()
    for where, row in iter_jsonl(path, ("id", "scores")):
        read = Fields(row, where)
        sub_answer = read.text("sub_answer", none=True, absent=True)
        scores = read.grades("scores", least, most)
        found.append(Labels(str(read.identifier("id")), scores, sub_answer))
        check_new(found[-1].id, seen, where)
    return found


def by_question(candidates: Iterable[QueryCandidates]) -> dict[str, list[QueryCandidates]]:
    """Candidates by the question that their trajectory answers."""
    grouped: dict[str, list[QueryCandidates]] = {}
    for each in candidates:
        grouped.setdefault(each.query.question_id, []).append(each)
    return grouped


def find_passages(path: str | Path, candidates: Iterable[QueryCandidates]) -> dict[str, Passage]:
    """The passages that are candidates, by id; the rest of the corpus is not kept.

    InputError if the corpus lacks one of them.
    """
    wanted = {identifier for each in candidates for identifier in each.ids}
    found = {}
    for where, row in iter_jsonl(path, ("id", "contents")):
        if str(row["id"]) in wanted:
            found[str(row["id"])] = passage_of(row, where)
    for identifier in sorted(wanted - found.keys()):
        raise InputError(f"{path}: has no passage '{identifier}' that a query has as candidate")
    return found


def match(rows: list, others: list, path: str | Path) -> list[tuple]:
    """(row, other) for each of `others` (read from `path`) and the row of the same id."""
    by_id = {row.id: row for row in rows}
    for other in others:
        if other.id not in by_id:
            raise InputError(f"{path}: '{other.id}' is not in the file that it was made from")
    return [(by_id[other.id], other) for other in others]
