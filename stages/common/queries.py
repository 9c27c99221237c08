"""Intermediate queries of trajectories, and the passages that stand as their candidates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from stages.common.records import Passage, check_new, iter_jsonl, passage_of
from stages.plumbing.errors import InputError


def read_trajectories(path: str | Path) -> list[dict]:
    """Rows of a trajectory file."""
    return _rows(path, ("id", "question", "golden_answers", "turns"))


def read_candidates(path: str | Path) -> list[dict]:
    """Rows of a candidates file."""
    return _rows(path, ("id", "question_id", "turn", "question", "query", "candidates"))


def _rows(path: str | Path, keys: tuple[str, ...]) -> list[dict]:
    """All rows of a file. InputError for a malformed line, or an id that occurs twice."""
    rows, seen = [], set()
    for where, row in iter_jsonl(path, keys):
        check_new(str(row["id"]), seen, where)
        rows.append(row)
    return rows


def searched_turns(trajectory: dict) -> list[int]:
    """The turns whose query was searched: the trajectory's intermediate queries.

    A query beyond the search limit was never searched, so no candidate could stand in for it. Of
    the last query of a rollout that stopped with "turns" nothing can follow, so none is labelled.
    """
    turns = trajectory["turns"]
    answerable = turns[:-1] if trajectory.get("stop") == "turns" else turns
    return [n for n, turn in enumerate(answerable) if turn["query"] is not None]


def queries(trajectory: dict) -> Iterator[dict]:
    """A row {id, question_id, turn, question, query, history} for each intermediate query."""
    history: list[str] = []
    for turn in searched_turns(trajectory):
        query = trajectory["turns"][turn]["query"]
        yield {
            "id": f"{trajectory['id']}#{turn}",
            "question_id": trajectory["id"],
            "turn": turn,
            "question": trajectory["question"],
            "query": query,
            "history": list(history),
        }
        history.append(query)


def by_question(candidates: list[dict]) -> dict[str, list[dict]]:
    """Candidates rows by the question that their trajectory answers."""
    grouped: dict[str, list[dict]] = {}
    for row in candidates:
        grouped.setdefault(row["question_id"], []).append(row)
    return grouped


def ranked_ids(row: dict) -> list[str]:
    """The passage ids of a candidates row, best first."""
    return [candidate["id"] for candidate in row["candidates"]]


def find_passages(path: str | Path, rows: Iterable[dict]) -> dict[str, Passage]:
    """The passages that candidates rows name, by id; the rest of the corpus is not kept.

    InputError if the corpus lacks one of them.
    """
    wanted = {identifier for row in rows for identifier in ranked_ids(row)}
    found = {}
    for where, row in iter_jsonl(path, ("id", "contents")):
        if str(row["id"]) in wanted:
            found[str(row["id"])] = passage_of(row, where)
    for identifier in sorted(wanted - found.keys()):
        raise InputError(f"{path}: has no passage '{identifier}' that a query has as candidate")
    return found


def match_rows(rows: list[dict], others: list[dict], path: str | Path) -> list[tuple[dict, dict]]:
    """(row, other) for each of `others` (read from `path`) and the row of the same id."""
    by_id = {row["id"]: row for row in rows}
    for other in others:
        if other["id"] not in by_id:
            raise InputError(f"{path}: '{other['id']}' is not in the file that it was made from")
    return [(by_id[other["id"]], other) for other in others]
