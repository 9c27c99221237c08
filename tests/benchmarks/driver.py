"""What the process that hands out parts takes: 100,000 parts of nothing over 32 Ray workers.

    PYTHONPATH=. python tests/benchmarks/driver.py

Run by hand; writes metrics/benchmarks/driver.json. A part takes a few milliseconds, so the figures
are those of the driver: seconds and bytes a part, and its memory, which must not grow with parts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import chdir
from pathlib import Path

import psutil

from stages.common.records import write_json
from stages.params import Compute
from stages.running.scratch import Scratch
from stages.running.workers import Workers, shards

OUTPUT = Path("metrics/benchmarks/driver.json").resolve()
MACHINE = "virtual machine, 2 cores of an Intel Xeon, no GPU, beside other jobs"
SECONDS = 0.003  # of a part
TENTHS = 10


def build():
    """Work that waits, then gives one row."""

    def work(part, advance):
        time.sleep(SECONDS)
        advance(1)
        return [{"n": part[0]}]

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=32)
    args = parser.parse_args()
    me, memory, seconds = psutil.Process(), [], []
    compute = Compute(ray="local", workers=args.workers, threads=1)
    with (
        tempfile.TemporaryDirectory() as folder,
        chdir(folder),
        Scratch("driver", "0") as scratch,
        Workers(build, compute, scratch, inputs=[], devices=1) as workers,
    ):
        began = None
        parts = shards(list(range(args.parts)), 1)
        for number, rows in enumerate(workers.map(parts, lambda rows: None), 1):
            assert rows == [{"n": number - 1}]
            began = began or time.perf_counter()
            if number % (args.parts // TENTHS) == 0:
                memory.append(round(me.memory_info().rss / 2**20))
                seconds.append(round(time.perf_counter() - began, 1))
                print(number, memory[-1], "MB", seconds[-1], "s", flush=True)
        took = time.perf_counter() - began
        processor = sum(me.cpu_times()[:2])
        kept = sum(entry.stat().st_size for entry in os.scandir(scratch.path))
    write_json(
        OUTPUT,
        {
            "machine": MACHINE,
            "parts": args.parts,
            "workers": args.workers,
            "seconds_a_part": SECONDS,
            "seconds": round(took, 1),
            "milliseconds_of_the_driver_a_part": round(1000 * took / args.parts, 3),
            "processor_milliseconds_a_part": round(1000 * processor / args.parts, 3),
            "bytes_kept_a_part": round(kept / args.parts, 1),
            "memory_mb_after_each_tenth": memory,
            "seconds_after_each_tenth": seconds,
        },
    )


if __name__ == "__main__":
    main()
