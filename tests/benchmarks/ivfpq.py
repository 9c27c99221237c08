"""IVF-PQ builds of several sizes beside what the plan says of them: file, memory, seconds.

    PYTHONPATH=. python tests/benchmarks/ivfpq.py

Run by hand; writes metrics/benchmarks/ivfpq.json. Random unit vectors: size and time do not depend
on what they mean, and nothing is said of recall. Each build is a process of its own, one thread.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from stages.common.records import write_json
from stages.params import Index, IndexKind, Ivfpq
from stages.planning.approximate import build_bytes, file_bytes
from stages.retrieval import approximate

OUTPUT = Path("metrics/benchmarks/ivfpq.json")
MACHINE = "virtual machine, 2 cores of an Intel Xeon, no GPU, one thread, beside other jobs"
DIMENSION, SAMPLE = 128, 20_000
BLOCK = Ivfpq(lists=512, probes=32, bytes=32)


def build(folder: Path) -> None:
    """Build in this process, and print what it took."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    params = Index(kind=IndexKind.ivfpq, sample=SAMPLE, ivfpq=BLOCK)
    import faiss

    faiss.omp_set_num_threads(1)
    me = psutil.Process()
    before, began = _own(me), time.process_time()
    approximate.build(vectors, params, 1, folder)
    print(json.dumps({"seconds": time.process_time() - began, "bytes": _own(me) - before}))


def _own(process: psutil.Process) -> int:
    memory = process.memory_info()
    return memory.rss - memory.shared


def measured(passages: int) -> dict:
    """One build, beside the plan."""
    with tempfile.TemporaryDirectory() as folder:
        vectors = np.random.default_rng(0).standard_normal((passages, DIMENSION), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        np.save(Path(folder) / "vectors.npy", vectors.astype(np.float16))
        del vectors
        command = [sys.executable, __file__, "--build", folder]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        took = json.loads(done.stdout.splitlines()[-1])
        size = (Path(folder) / approximate.FILE).stat().st_size
    planned = file_bytes(passages, DIMENSION, BLOCK)
    return {
        "passages": passages,
        "file_bytes": size,
        "planned_file_bytes": planned,
        "file_by_plan": round(size / planned, 4),
        "memory_bytes": took["bytes"],
        "planned_memory_bytes": build_bytes(passages, DIMENSION, BLOCK, SAMPLE),
        "seconds": round(took["seconds"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    sizes = [100_000, 200_000, 400_000, 800_000]
    parser.add_argument("--passages", type=int, nargs="+", default=sizes)
    args = parser.parse_args()
    if args.build:
        build(args.build)
        return
    rows = [measured(passages) for passages in args.passages]
    first, last = rows[0], rows[-1]
    added = (last["seconds"] - first["seconds"]) / (last["passages"] - first["passages"])
    settings = {"dimension": DIMENSION, "lists": BLOCK.lists, "bytes": BLOCK.bytes}
    figures = {"machine": MACHINE, **settings, "sample": SAMPLE, "builds": rows}
    write_json(OUTPUT, figures | {"microseconds_to_add_a_passage": round(added * 1e6, 2)})


if __name__ == "__main__":
    main()
