"""Searches of many clients joined: what comes while one search runs makes the next one.

A client alone waits for nothing but its own search. Under load a search of many queries costs
little more than a search of one: the vectors are read once for all of them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from stages.common.search import SearchRequest

BATCH = 256  # queries of a search, but for one client that asks more
WAITING = 4096  # queries that may wait
LINGER = 0.002  # seconds to wait for others, where the last search served several clients


class Busy(Exception):
    """Too many queries wait already."""


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
        self._queries = 0  # that wait
        self._thread = ThreadPoolExecutor(1)

    async def search(self, requests: list[SearchRequest], top_k: int) -> list:
        """What the search gives for `requests`. Busy if WAITING queries wait already."""
        if self._queries + len(requests) > WAITING:
            raise Busy
        found = asyncio.get_running_loop().create_future()
        self._queries += len(requests)
        self._queue.put_nowait(_Waiting(requests, top_k, found))
        return await found

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
        self._queries -= count
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
