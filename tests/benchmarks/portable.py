"""What portable sums cost: each stage with and without `compute.portable`, in turn, in one run.

    PYTHONPATH=.:tests python tests/benchmarks/portable.py --run FOLDER [--rounds 2]

Run by hand, with the checkout of a finished run of this code (FOLDER), whose cache the copy takes
its inputs from; writes metrics/benchmarks/portable.json, and docs/performance.md with the others.
Each stage's command is run on the same inputs, once in either mode a round. Seconds are the least
of the rounds: on the clock, and of processor time.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from checkout import command, compose_in, copy_of_checkout
from kill_stages import Flywheel
from performance import machine, write_page

from stages.common.records import write_json

OUTPUT = Path("metrics/benchmarks/portable.json").resolve()
STAGES = ("encoder", "index-0", "agent@1", "trajectories@1", "candidates@1", "relevance@1")
STAGES += ("correctness@1", "pairs@1", "retriever@1", "evaluate@1")
MODES = {"portable": "true", "as torch comes": "false"}


def seconds(flywheel: Flywheel, stage: str) -> tuple[float, float]:
    """The stage's command once: seconds on the clock, and of processor time."""
    flywheel.remove_outputs(stage)
    before, began = _processor_time(), time.perf_counter()
    flywheel.run(stage)
    return time.perf_counter() - began, _processor_time() - before


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="checkout with a finished run")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--stages", nargs="*", default=STAGES)
    args = parser.parse_args()
    metrics: dict = {"machine": machine(), "rounds": args.rounds, "stages": {}}
    with tempfile.TemporaryDirectory() as place:
        folder = copy_of_checkout(Path(place) / "repo")
        command(folder, "dvc", "cache", "dir", "--local", str(args.run.resolve() / ".dvc/cache"))
        command(folder, "dvc", "repro", *args.stages)
        flywheel = Flywheel(folder, tuple(args.stages))
        for stage in args.stages:
            least = dict.fromkeys(MODES, (float("inf"), float("inf")))
            for _ in range(args.rounds):
                for mode, value in MODES.items():
                    compose_in(folder, f"compute.portable={value}")
                    least[mode] = tuple(map(min, least[mode], seconds(flywheel, stage)))
            command(folder, "dvc", "checkout", "--force", stage)
            row = {
                mode: {"seconds": round(wall, 2), "processor_seconds": round(used, 2)}
                for mode, (wall, used) in least.items()
            }
            ours, theirs = (least[mode] for mode in MODES)
            row["ratio"] = round(ours[0] / theirs[0], 3)
            row["processor_ratio"] = round(ours[1] / theirs[1], 3)
            metrics["stages"][stage] = row
            print(stage, row, flush=True)
            write_json(OUTPUT, metrics)
    write_page()


if __name__ == "__main__":
    main()
