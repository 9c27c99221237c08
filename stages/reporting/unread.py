"""Judge replies that could not be parsed: counts by reason, with an example of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stages.common.records import read_jsonl

CUT = 600  # characters of a reply


@dataclass(frozen=True)
class Unread:
    """The prompts of an iteration and step ("relevance", "sub-answers") that failed for one reason.

    `id`, `tries` and `reply` are those of the first; None for a prompt that was never sent.
    """

    iteration: str
    step: str
    reason: str
    count: int
    id: str
    tries: int
    reply: str | None


def read_unread(folder: Path, iterations: list[str]) -> list[Unread]:
    """What `relevance/K.failed.jsonl` in `folder` hold, the most frequent reason of a step first.

    An iteration without the file has nothing to show: its labels are of an earlier version.
    """
    found = []
    for iteration in iterations:
        path = folder / "relevance" / f"{iteration}.failed.jsonl"
        groups: dict[tuple[str, str], list[dict]] = {}
        for row in read_jsonl(path, ("id", "reply", "reason", "tries")) if path.exists() else []:
            step = str(row["id"]).partition("/")[0]
            groups.setdefault((step, row["reason"]), []).append(row)
        ordered = sorted(groups.items(), key=lambda group: (group[0][0], -len(group[1]), group[0]))
        found += [_unread(iteration, step, reason, rows) for (step, reason), rows in ordered]
    return found


def _unread(iteration: str, step: str, reason: str, rows: list[dict]) -> Unread:
    first, reply = rows[0], rows[0]["reply"]
    if reply is not None and len(reply) > CUT:
        reply = f"{reply[:CUT]} …"
    return Unread(iteration, step, reason, len(rows), first["id"], first["tries"], reply)
