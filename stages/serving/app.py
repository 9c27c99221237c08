"""The retriever server's application: Search-R1's protocol, and a field more.

`POST /retrieve` takes `{"queries": [text, ...], "topk": 3, "return_scores": true}` and answers
`{"result": [[{"document": {...}, "score": 0.9}, ...], ...]}`, the bare documents where scores were
not asked for; a document is the corpus's line as it stands. A query is what the retriever reads. A
client that also sends `questions` (and `histories`: earlier queries), one for each query, lets the
retriever's folder say how to join them. A bad request gets 4xx and one line in `detail`.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from starlette.requests import ClientDisconnect

from stages.common.records import read_json
from stages.retrieval.searcher import Searcher, SearchRequest
from stages.serving.batching import Batcher, Busy
from stages.serving.connection import Connection
from stages.serving.limits import BODY, CLOSING, CONNECTIONS, PASSAGES, QUERIES, TEXT, TOP_K


class Retrieve(BaseModel):
    """The body of a request; other fields, and values of other types, are refused."""

    model_config = ConfigDict(strict=True, extra="forbid")

    queries: list[str] = Field(min_length=1, max_length=QUERIES)
    topk: int | None = Field(None, ge=1, le=TOP_K)
    return_scores: bool = False
    questions: list[str | None] | None = None
    histories: list[list[str]] | None = None

    @model_validator(mode="after")
    def _one_for_each_query(self) -> Retrieve:
        for name in ("questions", "histories"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.queries):
                raise ValueError(f"{name} must have as many entries as queries")
        if self.histories is not None and self.questions is None:
            raise ValueError("histories need questions")
        return self

    @model_validator(mode="after")
    def _within_limits(self, info: ValidationInfo) -> Retrieve:
        self.topk = self.topk or info.context["topk"]
        if len(self.queries) * self.topk > PASSAGES:
            raise ValueError(f"queries times topk may be {PASSAGES} at most")
        for request in self.requests():
            texts = (request.question or "", request.query, *request.history)
            if sum(map(len, texts)) > TEXT:
                raise ValueError(f"a query, with what goes with it, has over {TEXT} characters")
        return self

    def requests(self) -> list[SearchRequest]:
        """The queries with what goes with them."""
        nothing = [None] * len(self.queries)
        rows = zip(self.questions or nothing, self.histories or nothing, self.queries)
        return [SearchRequest(question, tuple(history or ()), q) for question, history, q in rows]


class Refused(Exception):
    """A request that is not served: status and reason."""

    def __init__(self, status: int, reason: str):
        self.status, self.reason = status, " ".join(reason.split())


def server_of(searcher: Searcher, top_k: int) -> uvicorn.Server:
    """A server of the application, to be run; see `limits` for what it bears."""
    config = uvicorn.Config(
        application(searcher, top_k),
        http=Connection,
        ws="none",
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=CLOSING,
        log_level="warning",
    )
    return uvicorn.Server(config)


def application(searcher: Searcher, top_k: int) -> FastAPI:
    """The server's application; `top_k` is what a client gets that does not say how many."""
    batcher = Batcher(lambda requests, k: _documents(searcher, requests, k))
    digests = _digests(searcher)  # now: the folder may be built anew under a server that runs

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        searches = asyncio.create_task(batcher.run())
        yield
        searches.cancel()
        with suppress(asyncio.CancelledError):
            await searches

    app = FastAPI(title="Retriever", lifespan=lifespan, docs_url=None, redoc_url=None)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return JSONResponse({"detail": error.reason}, error.status)

    @app.get("/health")
    async def health() -> dict:
        return {"status": "ok", "passages": len(searcher.passages)} | digests

    schema = {"content": {"application/json": {"schema": Retrieve.model_json_schema()}}}

    @app.post("/retrieve", openapi_extra={"requestBody": schema})
    async def retrieve(request: Request) -> JSONResponse:
        asked = parsed(await _body(request), top_k)
        try:
            found = await batcher.search(asked.requests(), asked.topk)
        except Busy:
            raise Refused(503, "too many queries wait: try again later") from None
        if not asked.return_scores:
            found = [[hit["document"] for hit in row] for row in found]
        return JSONResponse({"result": found})

    return app


def parsed(body: bytes, top_k: int) -> Retrieve:
    """The request in `body`, its topk `top_k` if it has none. Refused says what is wrong."""
    try:
        return Retrieve.model_validate_json(body, context={"topk": top_k})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        status = 400 if first["type"] == "json_invalid" else 422
        raise Refused(status, f"{where}: {first['msg']}" if where else first["msg"]) from None


def _digests(searcher: Searcher) -> dict:
    """What tells the index from another: digests of its corpus and, if it is dense, its retriever.

    They stand in index.json, beside the line starts that the searcher has open.
    """
    about = read_json(Path(searcher.passages.starts.filename).with_name("index.json"))
    return {name: about[name] for name in ("corpus", "retriever") if name in about}


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > BODY:
                raise Refused(413, f"the body is larger than {BODY} bytes")
    except ClientDisconnect:
        raise Refused(400, "the client left") from None  # which nobody reads
    return bytes(body)


def _documents(searcher: Searcher, requests: list[SearchRequest], k: int) -> list[list[dict]]:
    """For each request, the found lines of the corpus with their scores, best first."""
    found = searcher.places(requests, k)
    lines = {place: json.loads(searcher.passages.line(place)) for row in found for place, _ in row}
    return [[{"document": lines[place], "score": score} for place, score in row] for row in found]
