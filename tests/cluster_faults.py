"""Faults of a cluster of two nodes on this machine: the same bytes at the end, or one line.

    PYTHONPATH=.:tests python -m cluster_faults --output metrics/reliability/cluster.json

As root, which mounts other files over those that a node sees. About ten minutes on a machine of
its own. Fails where a fault ends otherwise than it must. `--only relevance disk` runs parts of it,
whose rows then take the place of those in the file.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
import time
from contextlib import chdir, suppress
from functools import partial
from importlib import metadata
from itertools import count
from pathlib import Path

from cluster_world import REPO, Cluster, cluster, job, wait_for
from label_world import (
    QUESTIONS,
    arguments,
    judging,
    set_params,
    teach,
    write_relevance,
)
from label_world import build as build_world

from stages import candidates, correctness, relevance, trajectories
from stages.common.records import write_jsonl, write_questions

STAGES = {trajectories: 2, candidates: 5, relevance: 1, correctness: 40}  # items of a part
FEW, NUMBERS, MANY = 24, 400, 2000  # in parts of two
SAME = "same bytes"
COUNT = count()


def name_of(stage) -> str:
    """Of a stage's module."""
    return stage.__name__.rpartition(".")[2]


class Faults:
    """What each fault ended in, as the run goes."""

    def __init__(self, made: Cluster, folder: Path, output: Path | None, found: list[dict]):
        self.made, self.folder, self.output, self.found = made, folder, output, found

    def note(self, fault: str, ended: str, wanted: str, began: float) -> None:
        row = {"fault": fault, "ended": ended, "as_it_must": re.search(wanted, ended) is not None}
        row["seconds"] = round(time.monotonic() - began)
        print(row, flush=True)
        for number, other in enumerate(self.found):
            if other["fault"] == fault:
                self.found[number] = row
                break
        else:
            self.found.append(row)
        if self.output:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            self.output.write_text(json.dumps(self.found, indent=2) + "\n")

    def numbers(self, count: int, *words: str, **more: str):
        """A run of `count` numbers, and its notes."""
        notes = self.folder / f"notes{next(COUNT)}"
        (self.folder / "numbers.jsonl").unlink(missing_ok=True)
        rows = ({"n": number, "square": number * number} for number in range(count))
        write_jsonl(self.folder / "local.jsonl", rows)
        given = ("--address", self.made.address, "--notes", str(notes), "--numbers", str(count))
        return job(self.made, self.folder, "numbers", *given, *words, **more), notes

    def said_of_numbers(self, process) -> str:
        """As `said`, of the last run of numbers, whose file is compared."""
        return self.said(process, "local.jsonl", "numbers.jsonl")

    def line(self, fault: str, wanted: str, *words: str, **more: str) -> None:
        """Note what a run of numbers says."""
        began = time.monotonic()
        process, _ = self.numbers(FEW, *words, **more)
        self.note(fault, self.said_of_numbers(process), wanted, began)

    def said(self, process, local: str, other: str) -> str:
        """The one line of a run that failed, without this run's own names; SAME for a good one
        whose file `other` has the bytes of `local`.
        """
        err = process.communicate(timeout=900)[1]
        if process.returncode == 0:
            one, two = ((self.folder / name).read_bytes() for name in (local, other))
            return SAME if one == two else "other bytes"
        line = re.split(r"[\r\n]", err.strip())[-1]
        line = line.replace(str(REPO), "CHECKOUT").replace(self.made.address, "HEAD")
        line = line.replace(str(self.made.folder), "HOME").replace(str(self.folder), "RUN")
        line = re.sub(r"/tmp/tmp\w+", "FOLDER", line)
        return re.sub(r"\b\d+\.\d+\.\d+\.\d+\b(?=[ :])", "ADDRESS", line)


def a_node_is_killed(faults: Faults, stage, shard: int) -> None:
    """SIGKILL for a raylet while a part of the stage is computed on it."""
    name = name_of(stage)
    made, began = faults.made, time.monotonic()
    node = f"two{next(COUNT)}"
    made.start(node)
    notes = faults.folder / f"notes-{name}"
    Path(f"{notes}.hold").write_text(str(made.process(node, "raylet/raylet").pid))
    files = {"output": f"ray/{name}.jsonl", "metrics": f"ray/{name}.json"}
    options = ["--address", made.address, "--shard", str(shard), "--notes", str(notes)]
    process = job(made, faults.folder, name, *options, *arguments(name, **files))
    wait_for(lambda: Path(f"{notes}.held").exists() or process.poll() is not None)
    held = Path(f"{notes}.held").exists()
    made.kill(node)
    ended = faults.said(process, f"local/{name}.jsonl", f"ray/{name}.jsonl")
    faults.note(
        f"a node is killed while it computes a part of `{name}`",
        ended if held else f"no work was on it ({ended})",
        f"^{SAME}$",
        began,
    )


def a_node_is_late(faults: Faults) -> None:
    began = time.monotonic()
    process, notes = faults.numbers(MANY)
    wait_for(notes.exists)
    node = f"late{next(COUNT)}"
    faults.made.start(node)
    raylet = str(faults.made.process(node, "raylet/raylet").pid)
    wait_for(lambda: raylet in notes.read_text().split())
    ended = faults.said_of_numbers(process)
    share = notes.read_text().split().count(raylet)
    ended = f"{ended}; it got {share:,} of {MANY // 2:,} parts"
    faults.note("a node joins during the stage", ended, rf"^{SAME}; it got [1-9]", began)
    faults.made.kill(node)


def the_head_is_killed(faults: Faults) -> None:
    began = time.monotonic()
    process, notes = faults.numbers(MANY)
    wait_for(notes.exists)
    faults.made.kill("one")
    ended = faults.said_of_numbers(process)
    faults.note("the head is killed", ended, "the head of the cluster at 'HEAD' is gone", began)


def a_node_sees(faults: Faults, fault: str, mounts: str, wanted: str) -> None:
    """A node in a mount namespace of its own, in which `mounts` were run."""
    began, node = time.monotonic(), f"odd{next(COUNT)}"
    prefix = ("unshare", "-m", "bash", "-c", f'set -e; {mounts}; exec "$@"', "--")
    faults.made.start(node, prefix=prefix)
    process, _ = faults.numbers(NUMBERS)
    ended = faults.said_of_numbers(process)
    faults.note(fault, ended, wanted, began)
    faults.made.kill(node)
    time.sleep(5)  # until the head has noticed


def what_nodes_see(faults: Faults, folder: Path) -> None:
    other = folder / "other"
    shutil.copytree(REPO / "stages", other)
    with open(other / "agent.py", "a") as file:
        file.write("# another commit\n")
    (folder / "another").write_text("another input")
    [about] = [f for f in metadata.files("transformers") if f.name == "METADATA"]
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 0.0.1\n")
    run = faults.folder
    for fault, mounts, wanted in (
        (
            "a node does not see the checkout",
            f"mount -t tmpfs none {REPO}",
            "not see this checkout",
        ),
        (
            "a node sees another checkout",
            f"mount --bind {other} {REPO}/stages",
            "sees the code .*, here ",
        ),
        (
            "a node has other packages",
            f"mount --bind {folder}/METADATA {about.locate()}",
            r"sees transformers 0\.0\.1, here ",
        ),
        (
            "a node has another input",
            f"mount --bind {folder}/another {run}/input",
            "sees input .*, here ",
        ),
        ("a node does not see the run's folder", f"mount -t tmpfs none {run}", "sees no input"),
    ):
        a_node_sees(faults, fault, mounts, wanted)


def a_disk_is_full(faults: Faults) -> None:
    """The folder of a node, where Ray keeps its logs and large results, has no byte left from the
    time on at which the node had finished parts.
    """
    began, node = time.monotonic(), f"full{next(COUNT)}"
    place = faults.made.folder / node
    place.mkdir()
    mount = f"mount -t tmpfs -o size=64m none {place}"
    prefix = ("unshare", "-m", "bash", "-c", f'set -e; {mount}; exec "$@"', "--")
    faults.made.start(node, prefix=prefix)
    raylet = faults.made.process(node, "raylet/raylet").pid
    process, notes = faults.numbers(NUMBERS)

    def given() -> int:  # parts that the node has begun: all but the last are finished
        return notes.read_text().split().count(str(raylet)) if notes.exists() else 0

    wait_for(lambda: given() > 2 or process.poll() is not None)
    fill(Path(f"/proc/{raylet}/root{place}"))
    before = given()
    ended = faults.said_of_numbers(process)
    parts = f"the node had finished {before - 1} of {NUMBERS // 2} parts"
    ended = f"{ended}; {parts}, and began {given() - before} more"
    wanted = f"^({SAME}|error: compute.ray: .*); the node had finished [1-9]"
    faults.note("the disk of a node gets full while it computes", ended, wanted, began)
    faults.made.kill(node)


def fill(folder: Path) -> None:
    """Leave no byte of the disk of `folder`."""
    with open(folder / "zero", "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(folder).free == 0


def build(folder: Path, stage) -> None:
    """A world of labels with what `stage` gives without Ray."""
    with chdir(folder):
        build_world(folder)
        write_questions("questions.jsonl", QUESTIONS)
        candidates.main(arguments("candidates"))
        if stage is relevance:
            teach(folder / "judge", judging, steps=100)
        write_relevance(0)
        name = name_of(stage)
        set_params(trajectories={"questions": len(QUESTIONS)})
        files = {"output": f"local/{name}.jsonl", "metrics": f"local/{name}.json"}
        stage.main(arguments(name, **files))


def labelling(stage, shard: int, faults: Faults, second: Path) -> None:
    """A labelling stage over two nodes, of which one is killed."""
    build(faults.folder, stage)
    a_node_is_killed(faults, stage, shard)


def others(faults: Faults, second: Path) -> None:
    """What else happens to clusters."""
    (faults.folder / "input").write_text("the same for all")
    a_node_is_late(faults)
    faults.line("no node has room for a worker", "no room for a worker", "--threads", "9")
    what_nodes_see(faults, second)


def disk(faults: Faults, second: Path) -> None:
    """A full disk."""
    (faults.folder / "input").write_text("the same for all")
    a_disk_is_full(faults)


def ends(faults: Faults, second: Path) -> None:
    """Tokens, and the end of the cluster."""
    (faults.folder / "input").write_text("the same for all")
    (second / "nobody").mkdir()
    nobody = {"RAY_AUTH_TOKEN_PATH": f"{second}/none", "HOME": f"{second}/nobody"}
    faults.line("no token", "there is none in", **nobody)
    (second / "wrong").write_text("0" * 64)
    wrong = f"{second}/wrong"
    faults.line("a wrong token", "the token in .* is not its", RAY_AUTH_TOKEN_PATH=wrong)
    faults.line("RAY_AUTH_MODE=disabled", "wants a token, and", RAY_AUTH_MODE="disabled")
    the_head_is_killed(faults)
    faults.line("there is no cluster", "no cluster at 'HEAD'")


PARTS = {name_of(stage): partial(labelling, stage, shard) for stage, shard in STAGES.items()}
PARTS |= {part.__name__: part for part in (others, disk, ends)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[], help="parts of it")
    args = parser.parse_args()
    kept = args.only and args.output and args.output.exists()
    found = json.loads(args.output.read_text()) if kept else []
    for name, part in PARTS.items():
        if args.only and name not in args.only:
            continue
        with (
            tempfile.TemporaryDirectory() as first,
            tempfile.TemporaryDirectory() as second,
            cluster() as made,
        ):
            made.start("one", like="one")
            part(Faults(made, Path(first), args.output, found), Path(second))
    if wrong := [row["fault"] for row in found if not row["as_it_must"]]:
        raise SystemExit(f"ended otherwise than they must: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
