"""The retriever server under load for a long time: good clients, hostile ones, slow ones.

    PYTHONPATH=.:tests python -m load_server --seconds 3600 --output metrics/reliability/server.json

Starts the real server over a small index, with all kinds of tests/load_clients.py at once, and
samples its resident memory every second. It fails where a client gets anything but what its kind
should get, where the server answers 5xx, or where its memory keeps growing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import shutil
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import retrieval_world as world
from load_clients import HOLDING, QUICK, Client, Kind, Outcome, good

ROOT = Path(__file__).parents[1]
NAMES = 250  # 2,000 passages
GOOD, BAD, SLOW = 16, 11, 100  # clients at a time
PAUSE = 0.1  # seconds between two requests of one client, on average
GROWTH = 1.3  # of the memory at the end to that at a quarter of the time, at most


@dataclass
class Load:
    """What has come of all requests so far."""

    outcomes: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    seconds: list[float] = field(default_factory=list)  # of good requests that were answered
    memory: list[int] = field(default_factory=list)  # bytes, one sample a second
    unexpected: Counter = field(default_factory=Counter)

    def count(self, kind: Kind, outcome: Outcome, expected: set[Outcome]) -> None:
        self.outcomes[kind.__name__][outcome] += 1
        if outcome not in expected:
            self.unexpected[f"{kind.__name__}: {outcome}"] += 1

    def metrics(self) -> dict:
        """The result, as it is written."""
        outcomes = {name: dict(sorted(found.items())) for name, found in self.outcomes.items()}
        every = sum(self.outcomes.values(), Counter())
        errors = sum(n for status, n in every.items() if status in ("500", "501", "502", "504"))
        cuts = statistics.quantiles(self.seconds, n=100)
        megabytes = [round(size / 2**20, 1) for size in self.memory]
        last = len(megabytes) - 1
        marks = {f"{share}%": megabytes[last * share // 100] for share in (25, 50, 100)}
        return {
            "requests": sum(every.values()),
            "server_errors": errors,  # 503 is an answer: to the clients that may get it
            "unexpected": dict(self.unexpected),
            "good_ms": {"p50": round(cuts[49] * 1000, 1), "p99": round(cuts[98] * 1000, 1)},
            "memory_mb": marks | {"highest": max(megabytes)},
            "memory_ratio": round(marks["100%"] / marks["25%"], 3),
            "outcomes": dict(sorted(outcomes.items())),
        }


def write_index(folder: Path) -> None:
    """A corpus, a retriever of random weights and its index, in `folder`."""
    from stages import index
    from stages.encoders.query_format import QueryFormat

    world.write_corpus(folder / "passages.jsonl", world.corpus(NAMES))
    world.tiny_retriever(folder / "retriever", QueryFormat("question_query"))
    shutil.copy(ROOT / "params.yaml", folder)
    with chdir(folder):
        files = ["--passages", "passages.jsonl", "--retriever", "retriever"]
        index.main([*files, "--output", "index", "--metrics", "index.json"])


async def load(address: str, server: psutil.Process, seconds: float, kinds: int = 0) -> Load:
    """All clients for `seconds`, and until so many kinds have an outcome, good ones several; those
    that still hold a connection then are let go.
    """
    result, number = Load(), itertools.count()
    groups = ((GOOD, {good: {"200"}}), (BAD, QUICK), (SLOW, HOLDING))
    clients = [
        asyncio.create_task(_client(Client(address, next(number)), kinds, result))
        for count, kinds in groups
        for _ in range(count)
    ]
    end = time.monotonic() + seconds
    while server.is_running():
        enough = len(result.outcomes) >= kinds and len(result.seconds) >= 2
        if enough and time.monotonic() >= end:
            break
        result.memory.append(server.memory_info().rss)
        await asyncio.sleep(1)
    for client in clients:
        client.cancel()
    for ended in await asyncio.gather(*clients, return_exceptions=True):
        if not isinstance(ended, asyncio.CancelledError):
            result.unexpected[f"a client could not go on: {ended}"] += 1
    return result


async def _client(client: Client, kinds: dict[Kind, set[Outcome]], result: Load) -> None:
    """One request after another, each of a kind drawn at random."""
    while True:
        kind = client.draw.choice([*kinds])
        began = time.monotonic()
        outcome = await kind(client)
        result.count(kind, outcome, kinds[kind])
        if kind is good and outcome == "200":
            result.seconds.append(time.monotonic() - began)
        await asyncio.sleep(2 * PAUSE * client.draw.random())


def measured(folder: Path, seconds: float, kinds: int = 0) -> dict:
    """The figures of a `load` on a server over the index in `folder`."""
    from stages.serving.process import running_server

    with chdir(folder), running_server("index", "passages.jsonl", "retriever") as address:
        [server] = [p for p in psutil.Process().children() if "stages.tools.serve" in p.cmdline()]
        metrics = asyncio.run(load(address, server, seconds, kinds)).metrics()
        while (answer := asyncio.run(good(Client(address, 0)))) == "503":
            time.sleep(0.1)  # it still works off what it has
        metrics["still_answers"] = answer == "200"
    clients = {"good": GOOD, "hostile": BAD, "slow": SLOW}
    return {"seconds": seconds, "clients": clients, **metrics}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        write_index(Path(folder))
        metrics = measured(Path(folder), args.seconds)
    print(json.dumps(metrics, indent=2))
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(metrics, indent=2) + "\n")
    grown = metrics["memory_ratio"] > GROWTH
    if metrics["unexpected"] or metrics["server_errors"] or grown or not metrics["still_answers"]:
        raise SystemExit("the server did not bear the load: see the figures")


if __name__ == "__main__":
    main()
