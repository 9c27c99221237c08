"""The whole flywheel shared over an S3 remote: nothing that was run is run again elsewhere.

    PYTHONPATH=.:tests python -m remote_round_trip --output metrics/reliability/remote.json

Runs the smallest flywheel in a clone of the last commit, pushes it with its run cache to an S3
server on loopback, and goes on in fresh clones with empty caches. Each step says which stages it
ran, how long it took and what it moved; it fails where a stage runs that should not. About ten
minutes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from checkout import ROOT, stages_run
from s3_remote import command, s3_server, with_remote

SCALE = "scale=smoke"
ONE = "models/retriever/2"
INDEXES = {"index-bm25", "index-0", "index@1", "index@2"}
UPSTREAM = {"agent@1", "trajectories@1", "candidates@1", "relevance@1"}
ENCODE = f"""
from sentence_transformers import SentenceTransformer
print(SentenceTransformer("{ONE}", device="cpu").encode_query(["q [SEP] who"]).tobytes().hex())
"""


@dataclass(frozen=True)
class Step:
    """What one step ran and moved."""

    step: str
    seconds: float
    stages_run: list[str]
    files: int = 0
    bytes: int = 0


class Log:
    """The steps done so far."""

    def __init__(self):
        self.steps: list[Step] = []

    def do(self, name: str, work: Callable[[], str], size: Callable[[], tuple[int, int]]) -> str:
        """Do one step; `size` gives (files, bytes) there, of which the growth was moved."""
        before, start = size(), time.monotonic()
        output = work()
        seconds = round(time.monotonic() - start, 1)
        files, total = (now - then for now, then in zip(size(), before))
        step = Step(name, seconds, stages_run(output), files, total)
        self.steps.append(step)
        stages = f"{len(step.stages_run)} stages run"
        print(f"{name}: {seconds} s, {stages}, {files} files, {total} bytes", flush=True)
        return output


def stored(bucket) -> tuple[int, int]:
    """(files, bytes) in the remote."""
    pages = bucket.get_paginator("list_objects_v2").paginate(Bucket="shared")
    sizes = [found["Size"] for page in pages for found in page.get("Contents", [])]
    return len(sizes), sum(sizes)


def cached(folder: Path) -> tuple[int, int]:
    """(files, bytes) in a clone's cache."""
    files = [path for path in (folder / ".dvc/cache/files").rglob("*") if path.is_file()]
    return len(files), sum(path.stat().st_size for path in files)


def only(found: list[str], allowed: set[str], what: str) -> None:
    """RuntimeError if a stage ran that is not in `allowed`."""
    if set(found) - allowed:
        raise RuntimeError(f"{what} ran {sorted(set(found) - allowed)}")


def clone(source: Path, folder: Path, address: str) -> Path:
    """A fresh clone with an empty cache, and the remote."""
    command(folder.parent, "git", "clone", "-q", str(source), str(folder))
    return with_remote(folder, address)


def first_run(log: Log, work: Path, address: str, bucket) -> Path:
    """A finished flywheel, committed and pushed."""
    folder = clone(ROOT, work / "first", address)
    command(folder, sys.executable, "-m", "stages.tools.compose", SCALE)
    command(folder, "dvc", "commit", "--force", "base")  # as git has it, also if its code changed
    log.do("repro", lambda: command(folder, "dvc", "repro"), lambda: cached(folder))
    command(folder, "git", "add", "-A")
    command(folder, "git", "commit", "-qm", "A run at the smallest scale")
    push = ("dvc", "push", "--run-cache")
    log.do(" ".join(push), lambda: command(folder, *push), lambda: stored(bucket))
    return folder


def elsewhere(log: Log, folder: Path) -> None:
    """Pull everything in a fresh clone; run what is left to run; then an ablation."""

    def do(*words: str) -> str:
        return log.do(" ".join(words), lambda: command(folder, *words), lambda: cached(folder))

    lock = (folder / "dvc.lock").read_text()
    do("dvc", "pull", "--run-cache", "--allow-missing")
    only(stages_run(do("dvc", "repro", "--allow-missing")), set(), "repro --allow-missing")
    found = stages_run(do("dvc", "repro"))
    only(found, INDEXES, "repro")
    if set(found) != INDEXES or (folder / "dvc.lock").read_text() != lock:
        raise RuntimeError("the indexes were not rebuilt to the same hashes")
    output = do("dvc", "exp", "run", "-S", SCALE, "-S", "correctness.mode=off")
    listed = set(command(folder, "dvc", "stage", "list", "--name-only").split())
    only(stages_run(output), listed - UPSTREAM - INDEXES | {"index@1", "index@2"}, "the ablation")
    if "correctness@1" not in stages_run(output):
        raise RuntimeError("the ablation did not run")


def alone(log: Log, folder: Path, first: Path) -> None:
    """Pull one retriever and encode with it."""
    log.do(f"dvc pull {ONE}", lambda: command(folder, "dvc", "pull", ONE), lambda: cached(folder))
    vectors = [_encoded(place) for place in (first, folder)]
    others = {path.name for path in (folder / ONE).parent.iterdir()} - {"2", ".gitignore"}
    if vectors[0] != vectors[1] or others:
        raise RuntimeError("the retriever that was pulled alone is not the one that was pushed")


def _encoded(folder: Path) -> str:
    return re.findall(r"[0-9a-f]{64,}", command(folder, sys.executable, "-c", ENCODE))[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    log = Log()
    with tempfile.TemporaryDirectory() as name, s3_server() as (address, bucket):
        work = Path(name)
        first = first_run(log, work, address, bucket)
        elsewhere(log, clone(first, work / "second", address))
        alone(log, clone(first, work / "third", address), first)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        rows = [asdict(step) for step in log.steps]
        args.output.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
