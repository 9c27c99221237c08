"""An index of a million passages: memory, a kill in the middle, restart, approximate recall.

    PYTHONPATH=. python tests/benchmarks/index.py --work /tmp/index-benchmark

Run by hand; writes metrics/benchmarks/index.json. Builds are timed on a machine with other jobs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import corpus
import numpy as np
import psutil

from stages.common.records import read_json, write_json
from stages.params import Hnsw, Index, IndexKind

OUTPUT = Path("metrics/benchmarks/index.json")
IVFPQ = {"lists": 1024, "probes": 64, "bytes": 32}
HNSW = {"links": 16, "build_breadth": 40, "breadth": 128}
SAMPLE, CANDIDATES, QUERIES, K = 65_536, 400, 256, 20

FIRST_SEARCH = """
import sys, time
began = time.perf_counter()
from stages.params import load_params
from stages.retrieval import approximate, dense, devices, encoding, searcher
import torch, sentence_transformers
imported = time.perf_counter()
found = searcher.load_searcher(sys.argv[1], "passages.jsonl", "retriever", load_params().compute)
loaded = time.perf_counter()
found.search([searcher.SearchRequest(None, (), "who studied in Bababa")], 20)
print(imported - began, loaded - imported, time.perf_counter() - loaded)
"""


class Watch:
    """Peaks of a process's memory in MB: its own pages, and with the file pages that it touches."""

    def __init__(self, process: subprocess.Popen):
        self.process, self.own, self.all = psutil.Process(process.pid), 0.0, 0.0
        self.halves = [0.0, 0.0]  # peaks of its own pages before and after it encoded half
        self.half = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE:
            try:
                memory = self.process.memory_info()
            except psutil.Error:
                return
            own, every = (memory.rss - memory.shared) / 2**20, memory.rss / 2**20
            self.own, self.all = max(self.own, own), max(self.all, every)
            self.halves[self.half] = max(self.halves[self.half], own)
            time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for the corpus and indexes"
    )
    parser.add_argument("--passages", type=int, default=1_000_000)
    args = parser.parse_args()
    folder, count = args.work, args.passages
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "retriever").exists():
        corpus.write_corpus(folder / "passages.jsonl", count)
        corpus.make_encoder(folder)
    metrics = {"machine": corpus.MACHINE, "passages": count, "dimension": 64, "dtype": "float16"}
    metrics["undisturbed"] = undisturbed(folder, count)
    print(json.dumps(metrics, indent=1), flush=True)
    metrics["killed"] = killed(folder, count)
    print(json.dumps(metrics, indent=1), flush=True)
    metrics["first_search"] = {kind: first_search(folder, kind) for kind in ("exact", "ivfpq")}
    metrics["search"] = searches(folder)
    write_json(OUTPUT, metrics)
    print(json.dumps(metrics, indent=1))


def undisturbed(folder: Path, count: int) -> dict:
    """Build the exact index in one go."""
    corpus.write_params(folder, kind="exact")
    began = time.perf_counter()
    process = corpus.start_index(folder, "exact")
    watch = Watch(process)
    encoding = follow(folder, process, watch, lambda done: done >= count // 2)
    watch.half = True
    corpus.finish(process)
    seconds = time.perf_counter() - began
    return {
        "seconds": round(seconds, 1),
        "passages_a_second": round(count / (time.perf_counter() - encoding)),
        "peak_mb_own": round(watch.own),
        "peak_mb_own_first_half": round(watch.halves[0]),
        "peak_mb_own_second_half": round(watch.halves[1]),
        "peak_mb_with_file_pages": round(watch.all),
    }


def killed(folder: Path, count: int) -> dict:
    """Build the ivfpq index, killed once in the middle: its vectors must be those of before."""
    corpus.write_params(
        folder,
        kind="ivfpq",
        sample=SAMPLE,
        candidates=CANDIDATES,
        recall_queries=QUERIES,
        ivfpq=IVFPQ,
    )
    process = corpus.start_index(folder, "ivfpq")
    follow(folder, process, None, lambda done: done >= count // 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = encoded(folder)
    began = time.perf_counter()
    process = corpus.start_index(folder, "ivfpq")
    watch = Watch(process)
    corpus.finish(process)
    same = digest(folder / "exact/vectors.npy") == digest(folder / "ivfpq/vectors.npy")
    return {
        "passages_before_the_kill": before,
        "seconds_of_the_second_run": round(time.perf_counter() - began, 1),
        "vectors_are_those_of_the_undisturbed_build": same,
        "peak_mb_own": round(watch.own),
    }


def follow(folder: Path, process, watch: Watch | None, until) -> float:
    """Wait until enough passages are encoded; when the first were."""
    first = None
    while not until(done := encoded(folder)):
        if process.poll() is not None:
            raise SystemExit("the build ended too early: see index.log")
        if done and first is None:
            first = time.perf_counter()
        time.sleep(0.05)
    return first or time.perf_counter()


def encoded(folder: Path) -> int:
    """Passages that the build under way has noted as done."""
    notes = list(folder.glob("tmp/scratch/index-*/encoded.json"))
    if not notes:
        return 0
    note = read_json(notes[0])
    return len(note["done"]) * note["chunk"]


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_search(folder: Path, kind: str) -> dict:
    """Seconds that a new process takes to its first results, by part."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_SEARCH, kind],
        cwd=folder,
        env=corpus.environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    names = ("imports", "load", "search")
    return {name: round(float(part), 2) for name, part in zip(names, done.stdout.split())}


def searches(folder: Path) -> dict:
    """Speed of each kind of index, and recall of the approximate ones, on the same queries."""
    import torch

    from stages.contrastive.cloze import passage_queries
    from stages.encoders.encoding import DenseRetriever
    from stages.retrieval import approximate
    from stages.retrieval.corpus import PassageFile
    from stages.retrieval.dense import DenseIndex, open_vectors

    torch.set_num_threads(1)
    passages = PassageFile(folder / "passages.jsonl", np.load(folder / "exact/starts.npy"))
    texts = passage_queries(passages, QUERIES, 0)
    queries = DenseRetriever.load(folder / "retriever", rows=64).encode_queries(texts)
    vectors = open_vectors(folder / "exact")
    exact = DenseIndex(vectors)
    metrics = {"queries": len(queries), "k": K, "exact": timed(exact, queries)}
    hnsw = Index(kind=IndexKind.hnsw, sample=SAMPLE, hnsw=Hnsw(**HNSW))
    (folder / "hnsw").mkdir(exist_ok=True)
    began = time.perf_counter()
    approximate.build(vectors, hnsw, 1, folder / "hnsw")
    metrics["hnsw_seconds_to_build"] = round(time.perf_counter() - began, 1)
    for kind, options, wider in (
        (IndexKind.ivfpq, IVFPQ, [{}, {"probes": 256}]),
        (IndexKind.hnsw, HNSW, [{}, {"breadth": 512}]),
    ):
        index = approximate.load(folder / kind.value, kind, exact, CANDIDATES, 1)
        size = (folder / kind.value / approximate.FILE).stat().st_size
        rows = [compared(index, exact, queries, metrics["exact"], options | more) for more in wider]
        metrics[kind.value] = {"mb": round(size / 2**20), "candidates": CANDIDATES, "rows": rows}
    return metrics


def compared(index, exact, queries: np.ndarray, speed: dict, options: dict) -> dict:
    """Speed and recall of `index` searched with `options`, beside the `speed` of the exact one."""
    from stages.retrieval import approximate

    if "probes" in options:
        index.index.nprobe = options["probes"]
    else:
        index.index.hnsw.efSearch = options["breadth"]
    row = options | timed(index, queries)
    for name in ("one", "all"):
        row[f"times_faster_{name}"] = round(speed[f"seconds_{name}"] / row[f"seconds_{name}"], 1)
    return row | {"recall_20": round(approximate.recall(index, exact, queries, K), 4)}


def timed(index, queries: np.ndarray) -> dict:
    """Seconds for one query alone (median of 9) and for all queries in one call (median of 3), of
    processor time: with one thread that is what the search takes on a core of its own.
    """
    index.search(queries[:1], K)

    def median(times: int, asked: np.ndarray) -> float:
        seconds = []
        for _ in range(times):
            began = time.process_time()
            index.search(asked, K)
            seconds.append(time.process_time() - began)
        return float(np.median(seconds))

    return {
        "seconds_one": round(median(9, queries[:1]), 5),
        "seconds_all": round(median(3, queries), 4),
    }


if __name__ == "__main__":
    main()
