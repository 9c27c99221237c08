"""Clients of the retriever server, good and bad, for tests/load_server.py.

Each kind sends one request and returns what came of it: the status of the answer, or `dropped`
where the server closed the connection without one, or `left` where the client went away itself.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

Outcome = str
Kind = Callable[["Client"], Awaitable[Outcome]]
LONG = 100_000  # characters, the most that a query may have
HELD = 4 * 2**20  # bytes of a body that is not finished
LARGE = 33 * 2**20  # of one that is refused
SLOW = 0.5  # seconds between two bytes


class Client:
    """One client with random draws of its own and, at most, one connection."""

    def __init__(self, address: str, seed: int):
        host, _, port = address.removeprefix("http://").rpartition(":")
        self.host, self.port = host, int(port)
        self.draw = random.Random(seed)
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        if self.writer is None or self.writer.is_closing():
            opened = await asyncio.open_connection(self.host, self.port, limit=2**24)
            self.reader, self.writer = opened

    def close(self) -> None:
        if self.writer is not None:
            self.writer.transport.abort()
            self.writer = None

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def status(self) -> Outcome:
        """Read a whole answer; its status."""
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = head.partition("content-length: ")[2].partition("\r\n")[0]
            await self.reader.readexactly(int(length)) if length else await self.reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            return "dropped"
        if not length or "connection: close" in head:
            self.close()
        return head.split()[1]

    async def post(self, body: bytes) -> Outcome:
        await self.open()
        with suppress(ConnectionError):  # refused before all was sent: the answer is there
            await self.send(head(len(body)) + body)
        return await self.status()

    def queries(self, count: int) -> list[str]:
        return [f"where was N{self.draw.randrange(200)}man born" for _ in range(count)]


def head(length: int, host: str = "localhost", more: str = "") -> bytes:
    lines = f"POST /retrieve HTTP/1.1\r\nHost: {host}\r\n{more}Content-Length: {length}\r\n\r\n"
    return lines.encode()


def encoded(**body) -> bytes:
    return json.dumps(body).encode()


async def good(client: Client) -> Outcome:
    """One query as agents send it, or a few; the connection is kept."""
    queries = client.queries(client.draw.choice((1, 1, 1, 8)))
    return await client.post(encoded(queries=queries, topk=3, return_scores=True))


async def not_json(client: Client) -> Outcome:
    return await client.post(client.draw.choice((b"{", b"\xff\xfe", b"[" * 5000, b"")))


async def wrong_types(client: Client) -> Outcome:
    wrong = ({"queries": "who"}, {"queries": [3]}, {"queries": ["q"], "topk": -1}, {}, [])
    return await client.post(json.dumps(client.draw.choice(wrong)).encode())


async def too_much(client: Client) -> Outcome:
    wrong = ({"queries": ["q"] * 16_385}, {"queries": ["q"] * 1000, "topk": 1000})
    return await client.post(json.dumps(client.draw.choice(wrong)).encode())


async def empty_text(client: Client) -> Outcome:
    return await client.post(encoded(queries=["", " ", "\x00\x1b[2J"]))


async def long_text(client: Client) -> Outcome:
    return await client.post(encoded(queries=["who " * (LONG // 4)]))


async def too_long_text(client: Client) -> Outcome:
    return await client.post(encoded(queries=["q" * (LONG + 1)]))


async def large_body(client: Client) -> Outcome:
    return await client.post(encoded(queries=["q" * LARGE]))


async def large_chunks(client: Client) -> Outcome:
    """A body whose length is not told beforehand."""
    await client.open()
    chunk = b"10000\r\n" + b"q" * 2**16 + b"\r\n"
    with suppress(ConnectionError):
        await client.send(b"POST /retrieve HTTP/1.1\r\nHost: localhost\r\n")
        await client.send(b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(LARGE // 2**16):
            await client.send(chunk)
        await client.send(b"0\r\n\r\n")
    return await client.status()


async def empty_wave(client: Client) -> Outcome:
    return await client.post(encoded(queries=[], topk=3, return_scores=True))


async def from_elsewhere(client: Client) -> Outcome:
    """What a web page sends: by a name that it has made point here, from its origin, as text."""
    signs = (("evil.example", ""), ("localhost", "Origin: http://evil.example\r\n"))
    host, more = client.draw.choice(signs)
    await client.open()
    body = encoded(queries=["q"])
    await client.send(head(len(body), host, f"{more}Content-Type: text/plain\r\n") + body)
    return await client.status()


async def not_http(client: Client) -> Outcome:
    client.close()
    await client.open()
    await client.send(client.draw.choice((b"\x16\x03\x01\r\n\r\n", b"HELLO\r\n\r\n", b"\0" * 99)))
    return await client.status()


async def leaves_in_body(client: Client) -> Outcome:
    await client.open()
    await client.send(head(1000) + b'{"queries": [')
    await asyncio.sleep(client.draw.random() / 10)
    client.close()
    return "left"


async def leaves_in_answer(client: Client) -> Outcome:
    """Reads the first bytes of a large answer."""
    client.close()
    await client.open()
    body = encoded(queries=client.queries(64), topk=200)
    await client.send(head(len(body)) + body)
    if client.draw.random() < 0.5:
        await client.reader.read(10)
    client.close()
    return "left"


async def silent(client: Client) -> Outcome:
    """Opens a connection and sends nothing."""
    client.close()
    await client.open()
    return await client.status()


async def slow_head(client: Client) -> Outcome:
    return await _slowly(client, b"POST /retrieve HTTP/1.1\r\n" + b"X: y\r\n" * 1000, b"")


async def slow_body(client: Client) -> Outcome:
    return await _slowly(client, b"x" * 1000, head(1000))


async def unfinished(client: Client) -> Outcome:
    return await _slowly(client, b"", head(1000) + b'{"queries": [')


async def all_but_the_end(client: Client) -> Outcome:
    """Sends a large body less its last byte."""
    client.close()
    await client.open()
    with suppress(ConnectionError):  # refused before all was sent: the answer is there
        await client.send(head(HELD) + b" " * (HELD - 1))
    return await client.status()


async def takes_nothing(client: Client) -> Outcome:
    """Asks for a large answer and does not read it."""
    client.close()
    await client.open()
    client.reader._transport.pause_reading()  # so that the answer stays with the server
    body = encoded(queries=client.queries(64), topk=200)
    for _ in range(4):
        await client.send(head(len(body)) + body)
    for _ in range(1000):
        await asyncio.sleep(0.5)
        try:  # the server's end is seen when one writes to it
            await client.send(b" ")
        except ConnectionError:
            return "dropped"
    return "held"


async def _slowly(client: Client, data: bytes, first: bytes) -> Outcome:
    """Sends `first` at once and `data` byte by byte, until the server answers."""
    client.close()
    await client.open()
    await client.send(first)
    answer = asyncio.create_task(client.status())
    try:
        for place in range(len(data)):
            await asyncio.wait([answer], timeout=SLOW)
            if answer.done():
                break
            await client.send(data[place : place + 1])
        return await answer
    except ConnectionError:
        return "dropped"
    finally:
        answer.cancel()


# What may come of each kind.
QUICK: dict[Kind, set[Outcome]] = {
    not_json: {"400"},
    wrong_types: {"422"},
    too_much: {"422"},
    empty_text: {"200"},
    long_text: {"200"},
    too_long_text: {"422"},
    large_body: {"413", "503"},  # 503: there was no room for it beside the bodies of others
    large_chunks: {"413", "503"},
    empty_wave: {"200"},
    from_elsewhere: {"403"},
    not_http: {"400"},
    leaves_in_body: {"left"},
    leaves_in_answer: {"left"},
}
HOLDING: dict[Kind, set[Outcome]] = {
    silent: {"408"},
    slow_head: {"408", "dropped"},  # a byte sent after the answer may hide it
    slow_body: {"408", "dropped"},
    unfinished: {"408"},
    all_but_the_end: {"408", "503"},
    takes_nothing: {"dropped"},
}
