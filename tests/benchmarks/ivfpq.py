"""IVF-PQ builds of several sizes beside what the plan says of them: files, memory, seconds.

    PYTHONPATH=. python tests/benchmarks/ivfpq.py

Run by hand; writes metrics/benchmarks/ivfpq.json. Random unit vectors: size and time do not depend
on what they mean, and nothing is said of recall. Each build is a process of its own, one thread.
The seconds of the first build stand beside those of the others as the plan computes them from it:
for more passages, and for more lists.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
from performance import machine

from stages.common.records import write_json
from stages.params import Index, IndexKind, Ivfpq
from stages.planning.approximate import (
    add_operations,
    build_bytes,
    file_bytes,
    train_operations,
)
from stages.retrieval import approximate
from stages.retrieval.dense import BLOCK, VECTORS

OUTPUT = Path("metrics/benchmarks/ivfpq.json")
PASSAGES = (1_000_000, 2_000_000)
DIMENSION, SAMPLE = 128, 65_536
LISTS = Ivfpq(lists=1024, probes=32, bytes=32)
LOOK = 0.02  # seconds between two looks at the memory of a build


def build(folder: Path, lists: int) -> None:
    """Build in this process, and print what it took."""
    import faiss

    vectors = np.load(folder / VECTORS, mmap_mode="r")
    params = Index(kind=IndexKind.ivfpq, sample=SAMPLE, ivfpq=replace(LISTS, lists=lists))
    faiss.omp_set_num_threads(1)
    marks: list[float] = []  # processor seconds when training ended
    training = faiss.IndexIVFPQ.train

    def train(index, sample):
        training(index, sample)
        marks.append(time.process_time())

    faiss.IndexIVFPQ.train = train
    before, most, over = own_bytes(), [0], threading.Event()

    def watch() -> None:
        while not over.wait(LOOK):
            most[0] = max(most[0], own_bytes())

    watching = threading.Thread(target=watch)
    watching.start()
    began = time.process_time()
    approximate.build(vectors, params, 1, folder)
    ended = time.process_time()
    over.set()
    watching.join()
    print(
        json.dumps(
            {
                "train_seconds": round(marks[0] - began, 2),
                "add_seconds": round(ended - marks[0], 2),
                "memory_bytes": most[0] - before,
            }
        )
    )


def own_bytes() -> int:
    """Of this process's memory, without the pages of files."""
    memory = psutil.Process().memory_info()
    return memory.rss - memory.shared


def write_vectors(file: Path, passages: int) -> None:
    """Random unit vectors in 16 bits, block by block."""
    draw = np.random.default_rng(0)
    vectors = np.lib.format.open_memmap(file, "w+", np.float16, (passages, DIMENSION))
    for first in range(0, passages, BLOCK):
        count = min(BLOCK, passages - first)
        block = draw.standard_normal((count, DIMENSION), np.float32)
        vectors[first : first + count] = block / np.linalg.norm(block, axis=1, keepdims=True)
    vectors.flush()


def measured(folder: Path, passages: int, lists: int) -> dict:
    """One build over the vectors in `folder`, beside the plan."""
    command = [sys.executable, __file__, "--build", str(folder), "--lists", str(lists)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    took = json.loads(done.stdout.splitlines()[-1])
    size, block = (folder / approximate.FILE).stat().st_size, replace(LISTS, lists=lists)
    planned = file_bytes(passages, DIMENSION, block)
    return {
        "passages": passages,
        "lists": lists,
        "vectors_bytes": (folder / VECTORS).stat().st_size,
        "file_bytes": size,
        "planned_file_bytes": planned,
        "file_by_plan": round(size / planned, 4),
        "planned_memory_bytes": build_bytes(passages, DIMENSION, block, SAMPLE),
        **took,
    }


def planned_seconds(first: dict, row: dict) -> dict:
    """Of training, and of adding the passages of `row`, from what they took in the build `first`.

    Both are products of vectors with centres, but not of the same speed.
    """
    trained, added = (
        [work(build) for build in (first, row)]
        for work in (
            lambda build: train_operations(
                DIMENSION, block_of(build), min(SAMPLE, build["passages"])
            ),
            lambda build: build["passages"] * add_operations(DIMENSION, block_of(build)),
        )
    )
    return {
        "planned_train_seconds": round(first["train_seconds"] * trained[1] / trained[0], 2),
        "planned_add_seconds": round(first["add_seconds"] * added[1] / added[0], 2),
    }


def block_of(build: dict) -> Ivfpq:
    """The settings of a build."""
    return replace(LISTS, lists=build["lists"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--lists", type=int, default=LISTS.lists)
    parser.add_argument("--passages", type=int, nargs="+", default=PASSAGES)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    if args.build:
        build(args.build, args.lists)
        return
    began, rows = machine(), []
    for passages in args.passages:
        with tempfile.TemporaryDirectory() as folder:
            write_vectors(Path(folder) / VECTORS, passages)
            for lists in (args.lists, 2 * args.lists):
                rows.append(measured(Path(folder), passages, lists))
                rows[-1] |= planned_seconds(rows[0], rows[-1])
                print(rows[-1], flush=True)
    settings = {"dimension": DIMENSION, "bytes": LISTS.bytes, "sample": SAMPLE}
    write_json(args.output, {"machine": began, **settings, "builds": rows})


if __name__ == "__main__":
    main()
