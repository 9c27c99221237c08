"""Passages out of what a log shows, in the frame of a protocol or one character off."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stages.common.records import Passage, heading_of
from stages.conforming.near import find_changed, find_near
from stages.plumbing.errors import InputError
from stages.rollout.protocol import AgentProtocol

# Tags and marks that were made harmless: one sign away from those that a frame has.
_HARMLESS = re.compile(r"&(?:lt|#\d+);[^<\s]*")
_BLANKS = re.compile(r"\s*")


def after_blanks(text: str, place: int) -> int:
    """Where the blanks of a text end that begin at `place`, if any do."""
    return _BLANKS.match(text, place).end()


def marks_of(protocol: AgentProtocol) -> tuple[str, str]:
    """What stands before and after the passages that are shown, blanks left out."""
    if protocol.block.tool is not None:
        raise InputError(
            f"the protocol {protocol.block.name} has a 'tool': a chat template frames its passages"
        )
    before, _, after = protocol.block.information.partition("{passages}")
    if not before.strip() or not after.strip():
        raise InputError(
            f"the protocol {protocol.block.name} puts no mark before or after its passages"
        )
    return before.split()[-1], after.split()[0]


def logged_passages(response: str, start: int, protocol: AgentProtocol) -> list[Passage]:
    """The passages that the block after `start` shows; without a block, none."""
    opening, closing = marks_of(protocol)
    opened = find_near(opening, response, start)
    if opened is None or after_blanks(response, start) < opened.start:
        return []
    end = response.find(closing, opened.stop)
    body = response[opened.stop : end if end >= 0 else len(response)]
    harmless = _HARMLESS.sub(lambda mark: "\0" * len(mark[0]), body)
    if near := find_near(closing, harmless):
        body = body[: near.start]
    before, _, after = protocol.block.information.partition("{passages}")
    body = body.removeprefix(before.rpartition(opening)[2])
    ending = after.partition(closing)[0] if end >= 0 or near else ""  # a log may be cut before it
    return list(_read(body, protocol.block.passage, ending))


def _read(body: str, template: str, ending: str) -> Iterator[Passage]:
    """Passages out of their rendering by `template`, and the frame's `ending` after them. Only what
    these add is taken off: a line break more at the end of one is taken for the corpus's (see
    Retold), before the first for nobody's.
    """
    tail = template.rpartition("{text}")[2]
    if "{rank}" not in template:
        yield from _lines(body.removesuffix(ending).lstrip("\n").removesuffix(tail), template)
        return
    body = _without(body, tail + ending)
    head = find_near(_head(template, 1), body)
    if head is None or body[: head.start].strip("\n"):
        if body.strip():
            yield Passage("1", "", body)  # no passage, but one would stand here
        return
    rank = 1
    while following := _next_head(body, head.stop, tail, template, rank):
        yield _passage(rank, body[head.stop : following.start], template)
        head, rank = following, rank + 1
    yield _passage(rank, body[head.stop :], template)


def _next_head(body: str, place: int, tail: str, template: str, rank: int) -> slice | None:
    """What ends the passage `rank` and begins the next one. One character of it may be another,
    unless a text just speaks of a passage: then no number goes on from there.
    """
    heads = [tail + _head(template, number) for number in range(1, rank + 3)]
    exact = body.find(heads[rank], place)
    if exact >= 0:
        return slice(exact, exact + len(heads[rank]))
    near = find_changed(heads[rank], body, place, len(body))
    if near is None or body.find(heads[rank + 1], near.stop) >= 0:
        return near
    return near if rank > 1 and body[near] not in heads else None


def _without(body: str, ending: str) -> str:
    """`body` without the ending that a frame gives it, or with one character of it another."""
    found = body[-len(ending) :] if ending else ""
    wrong = [sign for sign, right in zip(found, ending, strict=False) if sign != right]
    changed = len(wrong) == 1 and (wrong[0].isspace() or found[0] == ending[0])
    if found == ending or (changed and len(found) == len(ending)):
        return body[: len(body) - len(ending)]
    return body.removesuffix(ending[:-1])


def _lines(body: str, template: str) -> Iterator[Passage]:
    """Passages without numbers: a line each, and the lines after it in which no title ends."""
    passages: list[str] = []
    for line in body.split("\n") if body else []:
        if passages and _between(template) not in line:
            passages[-1] += f"\n{line}"
        else:
            passages.append(line)
    for number, shown in enumerate(passages, 1):
        yield _passage(number, shown.removeprefix(_head(template, number)), template)


def _head(template: str, rank: int) -> str:
    """What a passage begins with, before its title or text."""
    filled = template.replace("{rank}", str(rank))
    return filled[: min(filled.find(mark) for mark in _placeholders(filled))]


def _placeholders(template: str) -> list[str]:
    return [place for place in ("{title}", "{name}", "{text}") if place in template]


def _passage(rank: int, shown: str, template: str) -> Passage:
    """A passage from what follows its head."""
    title, between = _title(template), _between(template)
    if title is None:
        return Passage(str(rank), "", shown)
    if between not in shown and (near := find_near(between, shown)):
        heading, text = shown[: near.start], shown[near.stop :]
    else:
        between = between if between in shown else between.strip() or between
        heading, _, text = shown.partition(between)
    # Where a frame shows a name, that is the title, and its heading gives it again.
    return Passage(str(rank), heading_of(heading) if title == "{name}" else heading, text)


def _title(template: str) -> str | None:
    return next((place for place in ("{title}", "{name}") if place in template), None)


def _between(template: str) -> str:
    """What parts a passage's title from its text; nothing where no title is shown."""
    title = _title(template)
    return template.partition(title)[2].partition("{text}")[0] if title else ""
