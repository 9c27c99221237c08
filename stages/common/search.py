"""A search request and a retrieved passage, and the JSON in which they go to a server and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stages.common.records import Passage, passage_of
from stages.plumbing.finite import NotFinite


@dataclass(frozen=True)
class SearchRequest:
    """One query of an agent with what a retriever may read beside it.

    `question` None: `query` is already the text that the retriever reads. `history`: the queries
    before this one, in order; `thought`: what the agent thought in the turn of the query.
    """

    question: str | None
    history: tuple[str, ...]
    query: str
    thought: str = ""


@dataclass(frozen=True)
class Hit:
    """A retrieved passage; `score` is a cosine or a BM25 score, to 6 decimals."""

    passage: Passage
    score: float


def request_lists(requests: Sequence[SearchRequest]) -> dict[str, list]:
    """The requests as a server is sent them: each field is a list with an entry a request.

    >>> requests_of(**request_lists([SearchRequest("Who?", ("first",), "second", "so")]))
    [SearchRequest(question='Who?', history=('first',), query='second', thought='so')]
    """
    return {
        "queries": [request.query for request in requests],
        "questions": [request.question for request in requests],
        "histories": [list(request.history) for request in requests],
        "thoughts": [request.thought for request in requests],
    }


def requests_of(
    queries: list[str],
    questions: list[str | None] | None = None,
    histories: list[list[str]] | None = None,
    thoughts: list[str | None] | None = None,
) -> list[SearchRequest]:
    """The requests of such lists; a field that is left out is empty in all of them."""
    nothing = [None] * len(queries)
    beside = (histories or nothing, queries, thoughts or nothing)
    return [
        SearchRequest(question, tuple(history or ()), query, thought or "")
        for question, history, query, thought in zip(questions or nothing, *beside)
    ]


def hit_of(row: dict, where: str) -> Hit:
    """A hit from `{"document": {...}, "score": 0.9}`; `where` opens the message of an InputError.

    KeyError, TypeError or ValueError if it has another form.
    """
    score = float(row["score"])
    if not math.isfinite(score):
        raise NotFinite(f"{where}: answered with a score that is not finite")
    return Hit(passage_of(row["document"], where), score)
