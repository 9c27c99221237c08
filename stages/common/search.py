"""A search request and a retrieved passage."""

from __future__ import annotations

from dataclasses import dataclass

from stages.common.records import Passage


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
