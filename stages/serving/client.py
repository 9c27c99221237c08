"""A client of one retriever server or of several, to be used in place of a Searcher."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from stages.common.search import Hit, SearchRequest, hit_of, request_lists
from stages.plumbing.addresses import shown
from stages.plumbing.errors import InputError
from stages.serving.limits import PASSAGES

QUERIES = 256  # of a request
WAITS = (0, 0.5, 1, 2, 4, 8)  # seconds before each attempt
BUSY = 429  # as 5xx a status after which another attempt makes sense, first at another server


class HttpSearcher:
    """Searches through a server, as a Searcher does in this process.

    Of several, each process begins with another one; where one is away or busy, the next is asked
    at once, and from then on. InputError if all are away for longer than WAITS take, or one refuses
    a request.
    """

    def __init__(self, *urls: str, timeout: float = 300.0):
        """`urls`: as `http://127.0.0.1:8000`, of servers of the same index; `timeout`: seconds that
        one attempt may take.
        """
        self.urls = [url.rstrip("/").removesuffix("/retrieve") for url in urls]
        self._asked = os.getpid() % len(urls)  # the position of the server that is asked first
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
        said: dict[str, str] = {}
        for wait, number, url in self._attempts(said):
            time.sleep(wait)
            with _noting(said, url):
                response = self._client.post(f"{url}/retrieve", json=body)
                if not _failed(response):
                    return self._found(response, body, number)
                said[url] = f"status {response.status_code}"

    async def _ask_asynchronously(self, body: dict) -> list[list[Hit]]:
        client, said = self._client_of_this_loop(), {}
        for wait, number, url in self._attempts(said):
            await asyncio.sleep(wait)
            with _noting(said, url):
                response = await client.post(f"{url}/retrieve", json=body)
                if not _failed(response):
                    return self._found(response, body, number)
                said[url] = f"status {response.status_code}"

    def _attempts(self, said: dict[str, str]) -> Iterator[tuple[float, int, str]]:
        """(seconds to wait, position of the server, its address) of each attempt, in every round
        the server that answered last first. InputError after the last: `said` has why each server
        did not answer."""
        for wait in WAITS:
            numbered = list(enumerate(self.urls))
            for number, url in numbered[self._asked :] + numbered[: self._asked]:
                yield wait, number, url
                wait = 0
        raise _away(said)

    def _found(self, response: httpx.Response, body: dict, number: int) -> list[list[Hit]]:
        """What the server at position `number`, which is asked first from now on, has found."""
        self._asked = number
        return _hits(response, len(body["queries"]), self.urls[number])

    def _client_of_this_loop(self) -> httpx.AsyncClient:
        """Connections belong to the event loop that opened them."""
        loop = asyncio.get_running_loop()
        if self._asynchronous is None or self._asynchronous[0] is not loop:
            self._asynchronous = loop, httpx.AsyncClient(**self.options)
        return self._asynchronous[1]


@contextmanager
def _noting(said: dict[str, str], url: str) -> Iterator[None]:
    """Note in `said` why a server was not reached, or its answer not read."""
    try:
        yield
    except httpx.RequestError as error:
        said[url] = str(error) or type(error).__name__


def _failed(response: httpx.Response) -> bool:
    """Whether the server could not answer, now or at all: another one may."""
    return response.status_code == BUSY or response.is_server_error


def _hits(response: httpx.Response, count: int, url: str) -> list[list[Hit]]:
    server = shown(url)
    if response.status_code != 200:
        raise InputError(f"{server}: refused a search ({_reason(response)})")
    try:
        result = response.json()["result"]
        rows = [[hit_of(hit, server) for hit in row] for row in result]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{server}: its answer is not that of a retriever server") from None
    if len(rows) != count:
        raise InputError(f"{server}: answered {len(rows)} of {count} queries")
    return rows


def _away(said: dict[str, str]) -> InputError:
    """`said`: why each server did not answer."""
    servers = ", ".join(map(shown, said))
    reasons = "; ".join(map(shown, said.values()))
    return InputError(
        f"{servers}: no retriever server answers ({reasons}): start one with "
        "`python -m stages.tools.serve`"
    )


def _parts(requests: list[SearchRequest], top_k: int) -> Iterator[list[SearchRequest]]:
    size = max(1, min(QUERIES, PASSAGES // max(1, top_k)))
    return (requests[start : start + size] for start in range(0, len(requests), size))


def _body(requests: list[SearchRequest], top_k: int) -> dict:
    return {**request_lists(requests), "topk": top_k, "return_scores": True}


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"status {response.status_code}"
