"""A client of a retriever server, to be used in place of a Searcher."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import httpx

from stages.common.records import passage_of
from stages.plumbing.addresses import shown
from stages.plumbing.errors import InputError
from stages.retrieval.searcher import Hit, SearchRequest
from stages.serving.limits import PASSAGES

QUERIES = 256  # of a request
WAITS = (0, 0.5, 1, 2, 4, 8)  # seconds before each attempt
LATER = (429, 502, 503, 504)  # statuses after which another attempt makes sense


class HttpSearcher:
    """Searches through the server at `url`, as a Searcher does in this process.

    InputError if the server is away for longer than WAITS take, or refuses a request.
    """

    def __init__(self, url: str, *, timeout: float = 300.0):
        """`url`: as `http://127.0.0.1:8000`; `timeout`: seconds that one attempt may take."""
        self.url = url.rstrip("/").removesuffix("/retrieve")
        self._shown = shown(self.url)
        self.options = {"timeout": timeout, "trust_env": False}
        self._client = httpx.Client(**self.options)
        self._asynchronous: tuple[asyncio.AbstractEventLoop, httpx.AsyncClient] | None = None

    def search(self, requests: list[SearchRequest], top_k: int) -> list[list[Hit]]:
        """The `top_k` best passages of each request, best first."""
        found = []
        for part in _parts(requests, top_k):
            found += self._ask(_body(part, top_k))
        return found

    async def async_search(self, requests: list[SearchRequest], top_k: int) -> list[list[Hit]]:
        """`search`, without keeping the event loop waiting."""
        bodies = [_body(part, top_k) for part in _parts(requests, top_k)]
        found = await asyncio.gather(*map(self._ask_asynchronously, bodies))
        return [hits for part in found for hits in part]

    def _ask(self, body: dict) -> list[list[Hit]]:
        for wait in WAITS:
            time.sleep(wait)
            try:
                response = self._client.post(f"{self.url}/retrieve", json=body)
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
                continue
            if response.status_code not in LATER:
                return self._hits(response, len(body["queries"]))
            reason = f"status {response.status_code}"
        raise self._away(reason)

    async def _ask_asynchronously(self, body: dict) -> list[list[Hit]]:
        client = self._client_of_this_loop()
        for wait in WAITS:
            await asyncio.sleep(wait)
            try:
                response = await client.post(f"{self.url}/retrieve", json=body)
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
                continue
            if response.status_code not in LATER:
                return self._hits(response, len(body["queries"]))
            reason = f"status {response.status_code}"
        raise self._away(reason)

    def _client_of_this_loop(self) -> httpx.AsyncClient:
        """Connections belong to the event loop that opened them."""
        loop = asyncio.get_running_loop()
        if self._asynchronous is None or self._asynchronous[0] is not loop:
            self._asynchronous = loop, httpx.AsyncClient(**self.options)
        return self._asynchronous[1]

    def _hits(self, response: httpx.Response, count: int) -> list[list[Hit]]:
        if response.status_code != 200:
            raise InputError(f"{self._shown}: refused a search ({_reason(response)})")
        try:
            result = response.json()["result"]
            rows = [[self._hit(hit) for hit in row] for row in result]
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{self._shown}: its answer is not that of a retriever server"
            ) from None
        if len(rows) != count:
            raise InputError(f"{self._shown}: answered {len(rows)} of {count} queries")
        return rows

    def _hit(self, row: dict) -> Hit:
        return Hit(passage_of(row["document"], self._shown), float(row["score"]))

    def _away(self, reason: str) -> InputError:
        return InputError(
            f"{self._shown}: no retriever server answers ({shown(reason)}): start one with "
            "`python -m stages.tools.serve`"
        )


def _parts(requests: list[SearchRequest], top_k: int) -> Iterator[list[SearchRequest]]:
    size = max(1, min(QUERIES, PASSAGES // max(1, top_k)))
    return (requests[start : start + size] for start in range(0, len(requests), size))


def _body(requests: list[SearchRequest], top_k: int) -> dict:
    return {
        "queries": [request.query for request in requests],
        "topk": top_k,
        "return_scores": True,
        "questions": [request.question for request in requests],
        "histories": [list(request.history) for request in requests],
    }


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"status {response.status_code}"
