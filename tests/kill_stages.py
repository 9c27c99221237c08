"""Kill every long stage with SIGKILL at random moments, start it again, compare the bytes.

    PYTHONPATH=.:tests python -m kill_stages --kills 50 --output metrics/reliability/kills.json

Runs the smallest flywheel once in a copy of the checkout, then each stage's own command again and
again: killed at a moment drawn over its whole length, restarted until it ends. Its outputs must be
those of the undisturbed run, and its scratch folder must be gone. About 20 seconds a kill. The
stage `base` is killed in a copy of its own: models with as little training as its have no labels.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from checkout import ENVIRONMENT, command, copy_of_checkout

STAGES = (
    "index-0",
    "agent@1",
    "trajectories@1",
    "candidates@1",
    "relevance@1",
    "correctness@1",
    "retriever@1",
    "evaluate@1",
)
SMALL = ("scale=smoke", "compute.checkpoint_steps=1")
BASE = ("base.agent.steps=60", "base.judge.steps=60")


@dataclass(frozen=True)
class Trial:
    """One stage killed `kills` times in a row, then finished."""

    stage: str
    kills: int
    identical: bool
    scratch_left: int


def small_flywheel(folder: Path, stages: tuple[str, ...], *overrides: str) -> Flywheel:
    """The smallest flywheel in a copy of the checkout, run as far as `stages` need."""
    command(copy_of_checkout(folder, *SMALL, *overrides), "dvc", "repro", *stages)
    return Flywheel(folder, stages)


class Flywheel:
    """A finished flywheel in `folder` whose stages can be run again one by one."""

    def __init__(self, folder: Path, stages: tuple[str, ...]):
        self.folder = folder
        lock = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
        self.commands = {stage: lock[stage]["cmd"] for stage in stages}
        self.outputs = {stage: [out["path"] for out in lock[stage]["outs"]] for stage in stages}
        self.digests = {stage: self.digest(stage) for stage in stages}
        self.seconds: dict[str, float] = {}

    def digest(self, stage: str) -> str:
        """SHA-256 over the names and bytes of a stage's outputs."""
        total = hashlib.sha256()
        for output in self.outputs[stage]:
            path = self.folder / output
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
            for file in files:
                if not file.is_dir():
                    total.update(f"{file.relative_to(self.folder)}\0".encode() + file.read_bytes())
        return total.hexdigest()

    def trial(self, stage: str, kills: int, draw: random.Random) -> Trial:
        """Kill `stage` up to `kills` times, then let it end."""
        if stage not in self.seconds:
            self.remove_outputs(stage)
            start = time.monotonic()
            self.run(stage)
            self.seconds[stage] = time.monotonic() - start
        self.remove_outputs(stage)
        killed = sum(self._killed(stage, draw) for _ in range(kills))
        self.run(stage)
        left = len(list((self.folder / "tmp/scratch").glob("*")))
        return Trial(stage, killed, self.digest(stage) == self.digests[stage], left)

    def run(self, stage: str) -> None:
        """Run the stage's command to its end."""
        command(self.folder, "bash", "-c", self.commands[stage])

    def remove_outputs(self, stage: str) -> None:
        """As DVC does before it starts a stage."""
        for output in self.outputs[stage]:
            path = self.folder / output
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _killed(self, stage: str, draw: random.Random) -> int:
        """Start the stage and kill it at some moment; 0 if it had ended by then."""
        process = subprocess.Popen(
            self.commands[stage],
            cwd=self.folder,
            env=ENVIRONMENT,
            shell=True,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(timeout=draw.uniform(0.2, 1.0) * self.seconds[stage])
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return 1
        self.remove_outputs(stage)
        return 0


def table(trials: list[Trial]) -> list[dict]:
    """A row a stage: trials, kills, how many ended with the same bytes, scratch folders left."""
    return [
        {
            "stage": stage,
            "trials": len(mine),
            "kills": sum(trial.kills for trial in mine),
            "identical": sum(trial.identical for trial in mine),
            "scratch_left": sum(trial.scratch_left for trial in mine),
        }
        for stage in dict.fromkeys(trial.stage for trial in trials)
        if (mine := [trial for trial in trials if trial.stage == stage])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        flywheel, trials = small_flywheel(Path(folder) / "repo", STAGES), []
        base = small_flywheel(Path(folder) / "base", ("base",), *BASE)
        flywheels = {**dict.fromkeys(STAGES, flywheel), "base": base}
        while sum(trial.kills for trial in trials) < args.kills:
            stage = list(flywheels)[len(trials) % len(flywheels)]
            trials.append(flywheels[stage].trial(stage, draw.randint(1, 2), draw))
            print(trials[-1], flush=True)
    rows = table(trials)
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(rows, indent=2) + "\n")
    if any(row["identical"] < row["trials"] or row["scratch_left"] for row in rows):
        raise SystemExit("a killed stage did not end with the same bytes, or left its scratch")


if __name__ == "__main__":
    main()
