"""What the server says of itself: at its start, as plain text, and in its OpenAPI schema."""

from __future__ import annotations

from pydantic import BaseModel, Field

from stages.common.search import SearchRequest
from stages.retrieval.searcher import Searcher
from stages.serving import limits
from stages.serving.requests import BatchSearch, RequestBody, Retrieve, Search

SAMPLE = SearchRequest("question", ("earlier query",), "query", "thought")
ABOUT = """\
A retriever over {passages} passages.

POST /retrieve        {{"queries": ["...", ...], "topk": {top_k}, "return_scores": true}}
POST /batch_search    {{"query": ["...", ...], "top_n": {top_k}, "return_score": true}}
POST /search          {{"query": "...", "top_n": {top_k}, "return_score": true}}
GET  /health          what is served
GET  /openapi.json    all fields and limits, for programs

{reads}

A request may have {queries} queries and {body} bytes, an answer {answer} passages. What cannot be
served gets 4xx, or 503 where the server is busy, and one line in "detail" that says why.
"""


class Detail(BaseModel):
    """Why a request was refused."""

    detail: str


class ScoredDocument(BaseModel):
    """A passage that was found."""

    document: dict = Field(description="the corpus's line as it stands")
    score: float


class Result(BaseModel):
    """For each query the passages found, best first: with scores where they were asked for."""

    result: list[list[ScoredDocument] | list[dict]]


MANY = list[list[dict]] | tuple[list[list[dict]], list[list[float]]]
ONE = list[dict] | tuple[list[dict], list[float]]
FORMS = {Retrieve: Result, BatchSearch: MANY, Search: ONE}

REFUSALS = {
    status: {"model": Detail, "description": why}
    for status, why in {
        403: "the Host or Origin header names another server: see --allow-host",
        408: f"the request did not arrive within {limits.REQUEST:.0f} seconds",
    }.items()
}
OF_BODIES = {
    status: {"model": Detail, "description": why}
    for status, why in {
        400: "the body is not JSON, or the request not HTTP",
        413: f"the body has over {limits.BODY} bytes, or {limits.SIGNS} commas and brackets",
        415: "the body is not called application/json",
        422: "the JSON is not that of a request, or asks for too much",
        503: "the server holds too many requests or connections: try again later",
    }.items()
}


def reads(searcher: Searcher) -> str:
    """What the retriever reads for a query, and what a client can do about it."""
    text = searcher.text(SAMPLE)
    if text == SAMPLE.query:
        return "The retriever reads queries as they are sent."
    asks = "the original question of each query in `questions`"
    if SAMPLE.history[0] in text:
        asks += ", and its earlier queries in `histories`"
    if SAMPLE.thought in text:
        asks += ", and what was thought before it in `thoughts`"
    return (
        f"The retriever reads `{text}`: to a query alone it answers worse. A client of /retrieve "
        f"sends {asks}; any client may send queries that are already joined so."
    )


def text(searcher: Searcher, top_k: int) -> str:
    """What is served and how to ask, as plain text."""
    return ABOUT.format(
        passages=len(searcher.passages),
        top_k=top_k,
        reads=reads(searcher),
        queries=limits.QUERIES,
        body=limits.BODY,
        answer=limits.PASSAGES,
    )


def of(kind: type[RequestBody]) -> dict:
    """What a route says of itself: the forms of request and answer, and its refusals."""
    schema = {"content": {"application/json": {"schema": kind.model_json_schema()}}}
    return {
        "openapi_extra": {"requestBody": {"required": True} | schema},
        "responses": {200: {"model": FORMS[kind]}} | OF_BODIES,
        "summary": kind.__doc__.splitlines()[0],
    }
