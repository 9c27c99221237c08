"""Judge replies that could not be parsed: counts by reason, with an example of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stages.common.records import iter_jsonl

STAGES = ("relevance", "visits")  # that ask the judge
CUT = 600  # characters of a reply


@dataclass(frozen=True)
class Unread:
    """The prompts of an iteration and step ("relevance", "sub-answers", "visits") that failed for
    one reason.

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
    """What `relevance/K.failed.jsonl` and `visits/K.failed.jsonl` in `folder` hold, the most
    frequent reason of a step first.

    An iteration without a file has nothing to show there: its labels are of an earlier version.
    """
    found = []
    for iteration in iterations:
        firsts: dict[tuple[str, str], dict] = {}
        counts: Counter[tuple[str, str]] = Counter()
        for row in _failed(folder, iteration):
            group = str(row["id"]).partition("/")[0], row["reason"]
            firsts.setdefault(group, row)
            counts[group] += 1
        ordered = sorted(counts, key=lambda group: (group[0], -counts[group], group))
        found += [_unread(iteration, *group, counts[group], firsts[group]) for group in ordered]
    return found


def _failed(folder: Path, iteration: str) -> Iterator[dict]:
    for stage in STAGES:
        path = folder / stage / f"{iteration}.failed.jsonl"
        if path.exists():
            for _, row in iter_jsonl(path, ("id", "reply", "reason", "tries")):
                yield row


def _unread(iteration: str, step: str, reason: str, count: int, first: dict) -> Unread:
    reply = first["reply"]
    if reply is not None and len(reply) > CUT:
        reply = f"{reply[:CUT]} …"
    return Unread(iteration, step, reason, count, first["id"], first["tries"], reply)
