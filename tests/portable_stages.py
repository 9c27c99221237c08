"""Short runs of the stages that sum floats, in one process, and the SHA-256 of what they write.

    PYTHONPATH=.:tests python -m portable_stages             # this processor beside the kept hashes
    PYTHONPATH=.:tests python -m portable_stages --emulate   # emulated ones: make test-portable
    PYTHONPATH=.:tests python -m portable_stages --write     # keep what this processor gives

The kept hashes are in tests/portable.json: of these runs, of a smoke run (tests/test_pipeline.py),
and of ten operations (tests/portable_operations.py) that say where a difference comes from. They
change with every change of bytes, and are written anew in the commit that makes it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import yaml
from checkout import ENVIRONMENT, ROOT, command, copy_of_checkout

from stages.common.records import read_json, write_json

KEPT = ROOT / "tests/portable.json"
STAGES = (  # of the first iteration, and two beside it; the others sum nothing, or sum as these do
    "corpus",
    "questions",
    "base",
    "encoder",
    "index-0",
    "agent@1",
    "trajectories@1",
    "candidates@1",
    "relevance@1",
    "correctness@1",
    "pairs@1",
    "retriever@1",
    "index@1",
    "evaluate@1",
    "guest@tool_calls",
    "replug@likelihood",
)
TINY = (
    "scale=smoke",
    "corpus.world.names=8",
    "questions.training=24",
    "questions.test=2",
    "encoder.steps=3",
    "encoder.batch_size=16",
    "base.agent.steps=2",
    "base.agent.batch_size=4",
    "base.judge.steps=2",
    "base.judge.batch_size=4",
    "agent.steps=1",
    "agent.questions=2",
    "agent.mini_batch=4",
    "trajectories.questions=4",
    "retriever.steps=3",
    "retriever.batch_size=4",
    "+guest=all",
    "+replug.retrievers.likelihood={}",
    "replug.questions=4",
    "replug.steps=2",
    "replug.batch_size=4",
)
FOUND = Path("found.json")  # what a run of a plan found, in its folder
OUTS = ("models/agent/0", "models/judge", "metrics/base.json")
BASE = {  # as plan() has it
    "stage": "base",
    "words": shlex.split("stages.base --agent {} --judge {} --metrics {}".format(*OUTS)),
    "outs": OUTS,
}
HELD_OUT = 2  # of the demonstrations that measure `base` and a guest
# Processors that qemu-user plays: of both makers, and with caches of other sizes, which MKL and
# oneDNN look at.
EMULATED = ("Haswell", "Haswell,l3-cache=off", "EPYC", "EPYC,l3-cache=off")


def plan(folder: Path) -> list[dict]:
    """The commands of STAGES, as dvc.yaml has them, and their outputs."""
    from dvc.repo import Repo

    with Repo(str(folder)) as repo:
        known = {stage.name: stage for stage in repo.index.stages}
        return [
            {
                "stage": name,
                "words": shlex.split(known[name].cmd)[2:],
                "outs": [str(Path(out.fs_path).relative_to(folder)) for out in known[name].outs],
            }
            for name in STAGES
        ]


def run(steps: list[dict]) -> dict[str, str]:
    """Run the steps of a plan in this process and folder; the digest of each output.

    `base` writes beside the kept models, which the others read; MLflow is left out.
    """
    quiet = ModuleType("stages.tracking.curves")
    quiet.live = lambda *_: nullcontext(SimpleNamespace(log=lambda *_: None))
    sys.modules[quiet.__name__] = quiet
    found = {}
    for step in steps:
        module, *words = step["words"]
        outs = step["outs"]
        if step["stage"] == "base":
            words = [f"tmp/{word}" if word in outs else word for word in words]
            outs = [f"tmp/{out}" for out in outs]
        else:
            for out in outs:
                shutil.rmtree(out) if Path(out).is_dir() else Path(out).unlink(missing_ok=True)
        for out in outs:
            Path(out).parent.mkdir(parents=True, exist_ok=True)
        stage = importlib.import_module(module)
        if hasattr(stage, "HELD_OUT"):
            stage.HELD_OUT = HELD_OUT
        stage.main(words)
        found |= {f"{step['stage']} {out}": digest(Path(out)) for out in outs}
    return found


def digest(path: Path) -> str:
    """SHA-256 over the names and bytes of a file or folder."""
    total = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            total.update(f"{file.relative_to(path)}\0".encode() + file.read_bytes())
    return total.hexdigest()


def measured(folder: Path, *emulator: str) -> dict[str, dict[str, str]]:
    """What a processor gives: digests of the operations and of the stages' outputs.

    `folder` holds the copy to work in. `emulator`: words in front of the command.
    """
    environment = ENVIRONMENT | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT / 'tests'}"}
    found = {}
    for module, words in (("portable_operations", ()), ("portable_stages", ("--run", "plan.json"))):
        command = [*emulator, sys.executable, "-m", module, *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        said = (folder / FOUND).read_text() if words else done.stdout
        found[module.removeprefix("portable_")] = json.loads(said)
    return found


def smoke(folder: Path) -> dict[str, str]:
    """The digests that dvc.lock has of every output of a smoke run in `folder`."""
    lock = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    return {
        f"{name} {out['path']}": out["md5"]
        for name, entry in sorted(lock.items())
        for out in entry["outs"]
    }


def prepared(folder: Path) -> Path:
    """A copy of the checkout at the smallest size, and what to run in it."""
    copy_of_checkout(folder, *TINY)
    (folder / "plan.json").write_text(json.dumps(plan(folder)))
    return folder


def smoke_run(folder: Path) -> dict[str, str]:
    """The same of a smoke run of its own: what tests/test_pipeline.py runs."""
    command(copy_of_checkout(folder, "scale=smoke"), "dvc", "repro")
    return smoke(folder)


def differing(found: dict, kept: dict) -> list[str]:
    """The names of operations and outputs whose digests are not the kept ones."""
    return [
        f"{kind}: {name}"
        for kind in found
        for name in sorted({*kept.get(kind, {}), *found[kind]})
        if kept.get(kind, {}).get(name) != found[kind].get(name)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help="keep what this processor gives")
    parser.add_argument("--emulate", nargs="*", metavar="MODEL", help="on these of qemu's models")
    parser.add_argument("--output", type=Path, help="rows by processor, JSON: adds to those there")
    args = parser.parse_args()
    if args.run:
        FOUND.write_text(json.dumps(run(json.loads(args.run.read_text()))))
        return 0
    emulators = {"this processor": ()}
    if args.emulate is not None:
        qemu = shutil.which("qemu-x86_64")
        if not qemu:
            print("qemu-x86_64 is not here: it is in the package qemu-user", file=sys.stderr)
            return 2
        emulators = {name: (qemu, "-cpu", name) for name in args.emulate or EMULATED}
    rows = read_json(args.output) if args.output and args.output.exists() else []
    code = 0
    for name, words in emulators.items():
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found = measured(prepared(Path(folder) / "repo"), *words)
            if args.write:
                found["smoke"] = smoke_run(Path(folder) / "smoke")
                KEPT.write_text(json.dumps(found, indent=2) + "\n")
        wrong = differing(found, json.loads(KEPT.read_text()))
        count = sum(map(len, found.values()))
        print(f"{name}: {count - len(wrong)} of {count} are the kept bytes", *wrong, sep="\n  ")
        about = {"processor": name, "wrong": wrong, "minutes": (time.monotonic() - began) / 60}
        rows = [row for row in rows if row["processor"] != name]
        rows.append(about | {kind: len(digests) for kind, digests in found.items()})
        if args.output:
            write_json(args.output, rows)
        code = max(code, 1 if wrong else 0)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
