"""Batch searches of many clients: requests that arrive during a search form the next batch.

A client alone waits for nothing but its own search. Under load a search of many queries costs
little more than a search of one: the vectors are read once for all of them. A client that asks more
than one search takes is answered in parts, between which others have their turn.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from stages.common.search import SearchRequest
from stages.serving.limits import PASSAGES

BATCH = 256  # queries of a search
WAITING = 4 * PASSAGES  # that clients wait for, above which further ones are sent away
LINGER = 0.002  # seconds to wait for others, where the last search served several clients


class Busy(Exception):
    """Too much is waited for already."""


class Gone(Exception):
    """The client has left before it was answered."""


@dataclass
class _Waiting:
    requests: list[SearchRequest]
    top_k: int
    found: asyncio.Future


class Batcher:
    """Runs `search(requests, top_k)`, one result a request, for many callers in one thread."""

    def __init__(self, search: Callable[[list[SearchRequest], int], list]):
        self._search = search
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._awaited = 0  # passages
        self._thread = ThreadPoolExecutor(1)

    async def search(
        self, requests: list[SearchRequest], top_k: int, gone: Callable[[], Awaitable[bool]]
    ) -> list:
        """What the search gives for `requests`.

        Busy if others wait for WAITING passages already; how many this client asks makes no
        difference. Gone if `gone()` says so between two parts.
        """
        if requests and self._awaited >= WAITING:
            raise Busy
        awaited = len(requests) * top_k
        self._awaited += awaited
        try:
            found = []
            for start in range(0, len(requests), BATCH):
                if start and await gone():
                    raise Gone
                answer = asyncio.get_running_loop().create_future()
                part = requests[start : start + BATCH]
                self._queue.put_nowait(_Waiting(part, top_k, answer))
                found += await answer
        finally:
            self._awaited -= awaited
        return found

    async def run(self) -> None:
        """Search for whoever waits, until cancelled."""
        together: list[_Waiting] = []
        while True:
            first = await self._queue.get()
            if len(together) > 1:
                await asyncio.sleep(LINGER)
            together = self._joined(first)
            by_count = defaultdict(list)
            for waiting in together:
                by_count[waiting.top_k].append(waiting)
            for top_k, group in by_count.items():
                await self._serve(group, top_k)

    def _joined(self, first: _Waiting) -> list[_Waiting]:
        together, count = [first], len(first.requests)
        while count < BATCH and not self._queue.empty():
            together.append(self._queue.get_nowait())
            count += len(together[-1].requests)
        return together

    async def _serve(self, group: list[_Waiting], top_k: int) -> None:
        requests = [request for waiting in group for request in waiting.requests]
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._thread, self._search, requests, top_k)
        except Exception as error:
            for waiting in group:
                if not waiting.found.done():  # its client may have gone
                    waiting.found.set_exception(error)
            return
        rows = iter(found)
        for waiting in group:
            own = [next(rows) for _ in waiting.requests]
            if not waiting.found.done():
                waiting.found.set_result(own)
