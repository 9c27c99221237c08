"""Judge replies that could not be parsed: counts by reason, with an example of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stages.common.records import read_jsonl

CUT = 600  # characters of a reply


@dataclass(frozen=True)
class Unread:
    """The prompts of one turn and step ("relevance" or "sub-answers") that failed for one reason.

    `id`, `tries` and `reply` are those of the first; None for a prompt that was never sent.
    """

    turn: str
    step: str
    reason: str
    count: int
    id: str
    tries: int
    reply: str | None


def read_unread(folder: Path, turns: list[str]) -> list[Unread]:
    """What `relevance/K.failed.jsonl` in `folder` hold, the most frequent reason of a step first.

    A turn without the file has nothing to show: its labels are of an earlier version.
    """
    found = []
    for turn in turns:
        path = folder / "relevance" / f"{turn}.failed.jsonl"
        groups: dict[tuple[str, str], list[dict]] = {}
        for row in read_jsonl(path, ("id", "reply", "reason", "tries")) if path.exists() else []:
            step = str(row["id"]).partition("/")[0]
            groups.setdefault((step, row["reason"]), []).append(row)
        ordered = sorted(groups.items(), key=lambda group: (group[0][0], -len(group[1]), group[0]))
        found += [_unread(turn, step, reason, rows) for (step, reason), rows in ordered]
    return found


def _unread(turn: str, step: str, reason: str, rows: list[dict]) -> Unread:
    first, reply = rows[0], rows[0]["reply"]
    if reply is not None and len(reply) > CUT:
        reply = f"{reply[:CUT]} …"
    return Unread(turn, step, reason, len(rows), first["id"], first["tries"], reply)
