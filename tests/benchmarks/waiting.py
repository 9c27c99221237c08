"""How threads wait for each other, and what that makes of one training, of two, and of a busy core.

    PYTHONPATH=.:tests python tests/benchmarks/waiting.py --run FOLDER

Run by hand, with the checkout of a finished laptop run (FOLDER; nothing in it is changed); writes
metrics/benchmarks/waiting.json, and docs/performance.md with the others. PPO learns from one batch
again and again, in a process or in two at once: each row has the rollouts a second of all of them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import learning
from performance import machine, write_page

from stages.common.records import write_json

OUTPUT = learning.ROOT / "metrics/benchmarks/waiting.json"
ROUNDS = 3
SECONDS = 12
READY = "ready"


@dataclass(frozen=True)
class Setting:
    """How trainings run: so many at once, on a core each or on all, beside so many busy loops."""

    what: str
    trainings: int = 1
    pinned: bool = False
    busy: int = 0
    policy: str = ""  # OMP_WAIT_POLICY


SETTINGS = (
    Setting("one training"),
    Setting("one, threads that spin", policy="active"),
    Setting("one, on one core", pinned=True),
    Setting("two at once", trainings=2),
    Setting("two at once, each on one core", trainings=2, pinned=True),
    Setting("one, beside a busy loop", busy=1),
    Setting("one, threads that spin, beside a busy loop", busy=1, policy="active"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="checkout with a finished run")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        with learning.beside(args.run):
            learn()
        return
    began, rates = machine(), {setting: [] for setting in SETTINGS}
    for _ in range(ROUNDS):
        for setting, found in rates.items():
            found.append(rate(setting, args.run))
            print(setting.what, round(found[-1], 2), flush=True)
    first, rows = SETTINGS[0], []
    for setting, found in rates.items():
        ratios = [own / alone for own, alone in zip(found, rates[first], strict=True)]
        rows.append(
            {
                "what": setting.what,
                "rate": round(statistics.median(found), 2),
                "ratio": round(statistics.median(ratios), 2),
                "lowest": round(min(ratios), 2),
                "highest": round(max(ratios), 2),
            }
        )
    write_json(OUTPUT, {"machine": began, "rounds": ROUNDS, "rows": rows})
    write_page()


def rate(setting: Setting, run: Path) -> float:
    """Rollouts a second of all trainings of a setting, after each has learned once."""
    with ExitStack() as started:
        words = [sys.executable, __file__, "--run", str(run), "--work"]
        surroundings = dict(os.environ)
        if setting.policy:
            surroundings["OMP_WAIT_POLICY"] = setting.policy
        trainings = [
            started.enter_context(process(words, surroundings, core if setting.pinned else None))
            for core in range(setting.trainings)
        ]
        for training in trainings:
            if training.stdout.readline().strip() != READY:
                raise SystemExit(f"{setting.what}: a training did not start")
        for _ in range(setting.busy):
            started.enter_context(process([sys.executable, "-c", "while True: pass"], surroundings))
        for training in trainings:
            print("go", file=training.stdin, flush=True)
        return sum(float(training.stdout.readline()) for training in trainings)


@contextmanager
def process(words: list[str], surroundings: dict[str, str], core: int | None = None):
    """A child that ends with the block; on one `core` if that is given."""
    pin = None if core is None else lambda: os.sched_setaffinity(0, {core})
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    child = subprocess.Popen(words, env=surroundings, preexec_fn=pin, **pipes)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def learn() -> None:
    """Learn once, say so, wait for a line, learn for SECONDS and print rollouts a second."""
    told = learning.prepare()
    told.learner.update(told.batch, 0)
    print(READY, flush=True)
    sys.stdin.readline()
    done, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < SECONDS:
        told.learner.update(told.batch, 0)
        done += len(told.rollouts)
    print(done / spent, flush=True)


if __name__ == "__main__":
    main()
