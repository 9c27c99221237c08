"""The retriever server's application: Search-R1's protocol, and FlashRAG's.

`POST /retrieve` takes `{"queries": [text, ...], "topk": 3, "return_scores": true}` and answers
`{"result": [[{"document": {...}, "score": 0.9}, ...], ...]}`, the bare documents where scores were
not asked for; a document is the corpus's line as it stands. A query is what the retriever reads. A
client that also sends `questions` (and `histories`: earlier queries), one for each query, lets the
retriever's folder say how to join them. `POST /batch_search` and `POST /search` are what FlashRAG's
remote retriever asks: `{"query": [text, ...], "top_n": 3, "return_score": false}`, one text for
`/search`, answered by the documents, and by `[documents, scores]` where scores were asked for.

A bad request gets 4xx and one line in `detail`. `GET /` says so in plain text, `GET /openapi.json`
for programs, `GET /health` says what is served.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from stages.common.records import parse_json
from stages.common.search import SearchRequest
from stages.plumbing.errors import InputError
from stages.retrieval.searcher import Searcher
from stages.serving import description
from stages.serving.batching import Batcher, Busy, Gone
from stages.serving.bodies import BUSY, Bodies
from stages.serving.connection import Connection
from stages.serving.guard import Guard
from stages.serving.limits import CLOSING, CONNECTIONS
from stages.serving.refusals import Refused
from stages.serving.requests import BatchSearch, Hits, RequestBody, Retrieve, Search, parsed

DIGESTS = ("corpus", "retriever")  # of index.json: what tells an index from another
ASK = "GET / says what is served"
NAMED = 100  # unknown fields that the log names, at most
LOG = logging.getLogger("uvicorn.error")


def server_of(
    searcher: Searcher, top_k: int, names: frozenset[str] = frozenset()
) -> uvicorn.Server:
    """A server of the application, to be run; see `limits` for what it bears."""
    config = uvicorn.Config(
        application(searcher, top_k, names),
        http=Connection,
        ws="none",
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=CLOSING,
        log_level="warning",
    )
    return uvicorn.Server(config)


def application(searcher: Searcher, top_k: int, names: frozenset[str] = frozenset()) -> FastAPI:
    """The server's application.

    `top_k` is what a client gets that does not say how many; `names` are those that the server
    answers to, beside the loopback address's (`guard.names_of`).
    """
    batcher = Batcher(lambda requests, k: _found(searcher, requests, k))
    bodies, unknown = Bodies(), Unknown()
    digests = {name: searcher.about[name] for name in DIGESTS if name in searcher.about}

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        searches = asyncio.create_task(batcher.run())
        yield
        searches.cancel()
        with suppress(asyncio.CancelledError):
            await searches

    # FastAPI's own pages load their scripts from elsewhere
    app = FastAPI(
        title="Retriever",
        description=description.text(searcher, top_k),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=description.REFUSALS,
    )
    app.add_middleware(Guard, names=names)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return error.answer()

    @app.exception_handler(HTTPException)
    async def unknown_route(request: Request, error: HTTPException) -> JSONResponse:
        path = request.url.path[:100]
        reason = {404: f"nothing is at {path}", 405: f"{path} is not for {request.method[:10]}"}
        told = Refused(error.status_code, f"{reason.get(error.status_code, error.detail)}: {ASK}")
        answer = told.answer()
        answer.headers.update(error.headers or {})
        return answer

    @app.head("/", response_class=PlainTextResponse, include_in_schema=False)
    @app.get("/", response_class=PlainTextResponse)
    async def about() -> str:
        return description.text(searcher, top_k)

    @app.head("/health", include_in_schema=False)  # as some load balancers ask
    @app.get("/health")
    async def health() -> dict:
        return {"status": "ok", "passages": len(searcher.passages)} | digests

    async def answer(request: Request, kind: type[RequestBody]) -> JSONResponse:
        async with bodies.read(_parts(request)) as body:
            asked = parsed(kind, body, top_k)
            unknown.log(asked)
            try:
                found = await batcher.search(
                    asked.requests(), asked.count() or top_k, request.is_disconnected
                )
            except Busy:
                raise Refused(503, BUSY) from None
            except Gone:
                raise Refused(400, "the client left") from None  # which nobody reads
            except InputError as error:  # of the index or the corpus, not of the client
                raise Refused(500, str(error)) from None
            return JSONResponse(asked.answer(found))

    @app.post("/retrieve", **description.of(Retrieve))
    async def retrieve(request: Request) -> JSONResponse:
        return await answer(request, Retrieve)

    @app.post("/batch_search", **description.of(BatchSearch))
    async def batch_search(request: Request) -> JSONResponse:
        return await answer(request, BatchSearch)

    @app.post("/search", **description.of(Search))
    async def search(request: Request) -> JSONResponse:
        return await answer(request, Search)

    return app


class Unknown:
    """Names each field that is ignored once in the log."""

    def __init__(self):
        self._named: set[str] = set()

    def log(self, asked: RequestBody) -> None:
        """Forget the fields of `asked` that its form does not have, naming new ones."""
        for name in list(asked.model_extra)[:NAMED]:
            shown = ascii(name[:40])
            if shown not in self._named and len(self._named) < NAMED:
                self._named.add(shown)
                LOG.warning("a client sends the field %s, which is ignored", shown)
        asked.model_extra.clear()


async def _parts(request: Request):
    try:
        async for part in request.stream():
            yield part
    except ClientDisconnect:
        raise Refused(400, "the client left") from None  # which nobody reads


def _found(searcher: Searcher, requests: list[SearchRequest], k: int) -> list[Hits]:
    """For each request, the found lines of the corpus with their scores, best first."""
    found, passages = searcher.positions(requests, k), searcher.passages
    positions = {position for row in found for position, _ in row}
    lines = {p: parse_json(passages.line(p), f"{passages.path}:{p + 1}") for p in positions}
    return [[(lines[position], score) for position, score in row] for row in found]
