"""What two workers of one machine search by: a retriever server that they share, or an index each.

    PYTHONPATH=.:tests python tests/benchmarks/sharing.py --work /tmp/sharing

Run by hand, about 15 minutes; writes metrics/benchmarks/sharing.json and its part of
docs/performance.md. The stage `candidates` over a million passages: as it is (a server for both
workers), with an index in each worker, and in one process of two threads. Each in turn, three
times; all must write the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import corpus
import numpy as np
import psutil
import yaml
from performance import BENCHMARKS, machine, write_page

from stages.common.records import write_json, write_jsonl

OUTPUT = BENCHMARKS / "sharing.json"
QUERIES, TURNS = 8192, 3
LOOK = 0.5  # seconds between two looks at the memory
WAYS = {  # of searching: changes to `compute`
    "shared": {"ray": "local", "workers": 2, "threads": 1},
    "own": {"ray": "local", "workers": 2, "threads": 1},
    "one process": {"threads": 2},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for corpus and index")
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--own", help=argparse.SUPPRESS)  # a run with an index in each worker
    args = parser.parse_args()
    if args.own:
        own_index(args.own.split())
        return
    metrics = {"machine": machine(), "passages": args.passages, "queries": QUERIES, "workers": 2}
    args.work.mkdir(parents=True, exist_ok=True)
    prepare(args.work, args.passages)
    rounds: dict[str, list[dict]] = {way: [] for way in WAYS}
    for turn in range(TURNS):
        for way, rows in rounds.items():
            rows.append(asked(args.work, way))
            print(turn + 1, way, json.dumps(rows[-1]), flush=True)
    written = {row.pop("sha256") for rows in rounds.values() for row in rows}
    if len(written) > 1:
        raise SystemExit("the ways do not write the same bytes")
    metrics["ways"] = {way: summed(rows, rounds["shared"]) for way, rows in rounds.items()}
    write_json(OUTPUT, metrics)
    write_page()


def prepare(folder: Path, count: int) -> None:
    """Passages, an encoder, its index and a trajectory for each query, unless they are there."""
    if not (folder / "exact/index.json").exists():
        corpus.write_corpus(folder / "passages.jsonl", count)
        corpus.make_encoder(folder)
        corpus.write_params(folder, kind="exact")
        corpus.finish(corpus.start_index(folder, "exact"))
    write_jsonl(folder / "trajectories.jsonl", trajectories(folder))


def trajectories(folder: Path) -> Iterator[dict]:
    """A trajectory of one search and a wrong answer for each query."""
    from stages.common.trajectories import Trajectory, Turn
    from stages.contrastive.cloze import passage_queries
    from stages.retrieval.corpus import PassageFile

    passages = PassageFile(folder / "passages.jsonl", np.load(folder / "exact/starts.npy"))
    for number, query in enumerate(passage_queries(passages, QUERIES, 0)):
        turns = [Turn(query, [1], "", query), Turn("?", [1], "", None)]
        about = {"answer": "?", "em": 0, "f1": 0.0, "searches": 1, "stop": "answer"}
        yield Trajectory(str(number), f"{query}?", ["!"], turns, **about).row()


def asked(folder: Path, way: str) -> dict:
    """Seconds, the most memory and the bytes of `candidates` with one way of searching."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["compute"] |= {"ray": None, "workers": 1} | WAYS[way]
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    output = folder / "candidates.jsonl"
    words = "--iteration 1 --trajectories trajectories.jsonl --retriever retriever --index exact"
    words += f" --passages passages.jsonl --output {output} --metrics candidates.json"
    command = [sys.executable, "-m", "stages.candidates", *words.split()]
    if way == "own":
        command = [sys.executable, str(Path(__file__).absolute()), "--work", ".", "--own", words]
    began = time.perf_counter()
    with open(folder / "candidates.log", "a") as log:
        process = subprocess.Popen(command, cwd=folder, env=corpus.environment(), stderr=log)
        with watched(process.pid) as most:
            corpus.finish(process)
    seconds = time.perf_counter() - began
    digest = hashlib.sha256(output.read_bytes()).hexdigest()
    return {"seconds": seconds, "sha256": digest} | most


def own_index(words: list[str]) -> None:
    """The stage, whose workers find no server to share: as on several nodes without one."""
    from stages import candidates
    from stages.serving import shared

    @contextmanager
    def none(*_: object) -> Iterator[list[str]]:
        yield []

    shared.shared_servers = none
    candidates.main(words)


@contextmanager
def watched(pid: int) -> Iterator[dict[str, float]]:
    """The most MB of a process and all that it started: what they hold (pages that several share
    count once), and how much of it is no file's.
    """
    most, over = {"megabytes": 0.0, "megabytes_own": 0.0}, threading.Event()

    def watch() -> None:
        while not over.wait(LOOK):
            held = own = 0
            with suppress(psutil.Error):
                first = psutil.Process(pid)
                for process in (first, *first.children(recursive=True)):
                    with suppress(psutil.Error):
                        memory = process.memory_full_info()
                        held, own = held + memory.pss, own + memory.uss
            most["megabytes"] = max(most["megabytes"], held / 2**20)
            most["megabytes_own"] = max(most["megabytes_own"], own / 2**20)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield most
    finally:
        over.set()
        watching.join()


def summed(rows: list[dict], shared: list[dict]) -> dict:
    """Medians of the rounds, and ratios to the shared server, round by round."""
    found: dict = {key: round(float(np.median([row[key] for row in rows])), 1) for key in rows[0]}
    ratios = [row["seconds"] / other["seconds"] for row, other in zip(rows, shared, strict=True)]
    spread = {"ratio": np.median(ratios), "lowest": min(ratios), "highest": max(ratios)}
    return found | {key: round(float(value), 3) for key, value in spread.items()}


if __name__ == "__main__":
    main()
