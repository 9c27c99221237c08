"""Limit the memory of request bodies, over all clients together, and of what they are read to.

A body counts from its first byte until its request is answered. Where a further part does not fit,
the body gives way that has waited longest for its next part, a large one if there is one: a client
that sends all but the end holds nothing that another one needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from stages.serving import limits
from stages.serving.refusals import Refused

OPENING = (b",", b"[", b"{")  # there is one before each value, but for those of keys
SMALL = 2**16  # bytes of a body that is not worth dropping
BUSY = "the server holds too many requests: try again later"


class _Body:
    """The bytes of one request so far; `patience` can end the wait for more of them."""

    def __init__(self):
        self.patience, self.data, self.gave_way = asyncio.timeout(None), bytearray(), False
        self.signs = 0


class Bodies:
    """Bodies of requests, `limits.BODIES` bytes of them at most."""

    def __init__(self):
        self._held = 0  # bytes
        self._arriving: dict[_Body, None] = {}  # the one that has waited longest comes first

    @asynccontextmanager
    async def read(self, parts: AsyncIterator[bytes]) -> AsyncIterator[bytearray]:
        """The whole body; it counts until the block ends.

        Refused: 413 for a body above `limits.BODY`, or of more values than `limits.SIGNS` allows,
        503 where there is no room for it.
        """
        body = _Body()
        try:
            with suppress(TimeoutError):
                async with body.patience:
                    async for part in parts:
                        self._add(body, part)
            self._arriving.pop(body, None)
            if body.gave_way:
                raise Refused(503, BUSY)
            yield body.data
        finally:
            self._release(body)

    def _add(self, body: _Body, part: bytes) -> None:
        if len(body.data) + len(part) > limits.BODY:
            raise Refused(413, f"the body is larger than {limits.BODY} bytes")
        body.signs += sum(map(part.count, OPENING))
        if body.signs > limits.SIGNS:
            raise Refused(413, f"the body has over {limits.SIGNS} commas and opening brackets")
        self._arriving.pop(body, None)
        while self._held + len(part) > limits.BODIES and not body.gave_way:
            large = (other for other in self._arriving if len(other.data) > SMALL)
            self._give_way(next(large, next(iter(self._arriving), body)))
        if body.gave_way:
            raise Refused(503, BUSY)
        body.data += part
        self._held += len(part)
        self._arriving[body] = None

    def _give_way(self, body: _Body) -> None:
        body.gave_way = True
        self._release(body)
        body.patience.reschedule(asyncio.get_running_loop().time())

    def _release(self, body: _Body) -> None:
        self._arriving.pop(body, None)
        self._held -= len(body.data)
        body.data = bytearray()
