"""Work for a cluster, as a program: `numbers`, or a labelling stage in a folder of label_world.

    python -m cluster_job STAGE --address HOST:PORT --shard 2 --notes FILE [stage's arguments]

Each part notes the process id of the raylet that it is computed under. A part under the one whose
id is in FILE.hold waits there to be killed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
from functools import partial
from pathlib import Path

from stages.common.records import write_jsonl
from stages.params import Compute
from stages.plumbing.errors import run
from stages.running.scratch import Scratch
from stages.running.workers import rows_of

SECONDS = 0.2  # that a part of `numbers` takes


def noting(notes: str, build, *arguments):
    """What `build` returns, noting where parts are computed."""
    work = build(*arguments)
    hold = Path(f"{notes}.hold")

    def noted(part, advance):
        with open(notes, "a") as file:
            print(os.getppid(), file=file)
        if hold.exists() and hold.read_text() == str(os.getppid()):
            Path(f"{notes}.held").touch()
            time.sleep(600)
        return work(part, advance)

    return noted


def squares():
    """Squares of numbers, slowly."""

    def work(part, advance):
        time.sleep(SECONDS)
        advance(len(part))
        return [{"n": n, "square": n * n} for n in part]

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage")
    parser.add_argument("--address")
    parser.add_argument("--shard", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--numbers", type=int)
    parser.add_argument("--notes", default="notes")
    args, rest = parser.parse_known_args()
    if args.stage == "numbers":
        numbers(args)
        return
    from label_world import set_params

    if args.address:  # else params.yaml is there
        compute = {"ray": args.address, "workers": args.workers, "threads": args.threads}
        set_params(trajectories={"questions": 6}, compute=compute)
    stage = importlib.import_module(f"stages.{args.stage}")
    stage.SHARD, stage._build = args.shard, partial(noting, args.notes, stage._build)
    stage.main(rest)


def numbers(args: argparse.Namespace) -> None:
    compute = Compute(ray=args.address, workers=args.workers, threads=args.threads)
    Path("input").exists() or Path("input").write_text("the same for all")
    with Scratch("numbers", Path(args.notes).name) as scratch:
        rows = rows_of(
            list(range(args.numbers)),
            args.shard,
            partial(noting, args.notes, squares),
            compute,
            scratch,
            inputs=["input"],
            devices=1,
            desc="numbers",
            unit="number",
            total=args.numbers,
        )
        write_jsonl("numbers.jsonl", rows)


if __name__ == "__main__":
    run(main)
