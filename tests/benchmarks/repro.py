"""`make repro` of an older commit and of this one, from clone to last line, stage by stage.

    PYTHONPATH=.:tests python tests/benchmarks/repro.py --before 84b10a1 [--rounds 3]

Run by hand on a machine that does nothing else, a quarter of an hour and less a run; writes
metrics/benchmarks/repro.json, and docs/performance.md with the others. In turns: this commit, the
older one (84b10a1 is version 0.1.0), and, in the first round, this commit without
`compute.portable`. Each run has a new clone and an empty cache, with this checkout's environment.
Seconds of a stage are those from DVC's line about it to its next one, DVC's own work among them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from checkout import ROOT, command, compose_in
from performance import BENCHMARKS, machine, write_page

from stages.common.records import write_json

OUTPUT = BENCHMARKS / "repro.json"
NOW, BEFORE, PLAIN = "now", "before", "now, as torch comes"
PUSH = "Use `dvc push`"  # the last line of `dvc repro`
SAME = "every output is byte for byte the committed run"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", required=True, metavar="COMMIT")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    metrics: dict = {"machine": machine(), "before": args.before, "same": 0}
    metrics["runs"] = {NOW: [], BEFORE: [], PLAIN: []}
    for number in range(args.rounds):
        for way, runs in metrics["runs"].items():
            if way == PLAIN and number:
                continue
            commit = args.before if way == BEFORE else "HEAD"
            with tempfile.TemporaryDirectory() as place:
                folder = clone(commit, Path(place) / "repo", portable=way != PLAIN)
                run, said = reproduced(folder)
            if way == NOW:
                metrics["same"] += SAME in said
            runs.append(run)
            print(number + 1, way, run["total"], said.splitlines()[-1], flush=True)
            write_json(OUTPUT, metrics)
    write_page()


def clone(commit: str, folder: Path, portable: bool) -> Path:
    """A clone at a commit, with this checkout's environment, which `make` takes for its own."""
    command(ROOT, "git", "clone", "--quiet", str(ROOT), str(folder))
    command(folder, "git", "checkout", "--quiet", commit)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    os.utime(folder / ".venv/.installed")
    if not portable:
        compose_in(folder, "compute.portable=false")
    return folder


def reproduced(folder: Path) -> tuple[dict, str]:
    """Seconds of `make repro`, in all and by stage, and what it printed."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}  # lines as they come
    environment.pop("PYTHONPATH", None)  # the clone's own stages
    began, stage = time.perf_counter(), None
    stages: dict[str, float] = {}
    lines, since = [], began
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(["make", "repro"], cwd=folder, env=environment, **pipes) as process:
        for line in process.stdout:
            lines.append(line)
            if "Running stage '" in line or PUSH in line:
                now = time.perf_counter()
                if stage:
                    stages[stage] = round(now - since, 1)
                stage, since = None if PUSH in line else line.split("'")[1], now
    if process.returncode:
        raise SystemExit("".join(lines[-30:]))
    return {"total": round(time.perf_counter() - began, 1), "stages": stages}, "".join(lines)


if __name__ == "__main__":
    main()
