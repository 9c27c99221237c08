"""Count the rollouts of verl's processes for the training curves.

A folder for each step, a file for each process, a line for each rollout: processes on any node
append without asking each other, and the steps after a checkpoint are forgotten as folders.
"""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from stages.common.records import read_jsonl, to_json
from stages.rollout.limits import limited
from stages.rollout.loop import RolloutState
from stages.scoring import exact_match


def count(rollout: RolloutState, step: int, folder: Path) -> None:
    """Append the counts of a finished rollout of `step`."""
    line = {
        "id": rollout.question.id,
        "em": exact_match(rollout.answer, rollout.question.golden_answers),
        "searches": len(rollout.queries),
        "response_length": sum(rollout.mask),
        "invalid": int(rollout.stop in ("invalid", "length")),
        **limited(rollout.turns, rollout.stop),
    }
    file = folder / str(step) / f"{socket.gethostname()}-{os.getpid()}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "a", encoding="utf-8") as stream:
        stream.write(to_json(line, str(file)) + "\n")


def counted(folder: Path, step: int) -> list[dict]:
    """The counts of all rollouts of `step` so far."""
    files = sorted((folder / str(step)).glob("*.jsonl"))
    return [line for file in files for line in read_jsonl(file)]


def forget_counts(folder: Path, step: int) -> None:
    """Drop the counts of the steps after `step`, which will be made again."""
    for made in folder.glob("*"):
        if int(made.name) > step:
            shutil.rmtree(made)
