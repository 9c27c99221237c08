"""Rewrite logs of other programs in a protocol, to compare them character by character.

A log is what followed the prompt, as one text: turns of the agent and what it was shown. Its turns
are taken as they stand, its passages are read out of what was shown, and all around them is the
protocol's: the first character that then differs is one that an agent would read otherwise here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from stages.common.records import Passage
from stages.plumbing.errors import InputError
from stages.rollout.protocol import AgentProtocol


@dataclass(frozen=True)
class TextDifference:
    """Where a text parts from what was expected, both from there on."""

    place: int
    expected: str
    found: str


@dataclass
class Retold:
    """What a log holds, up to the first difference if there is one.

    `broken`: how many passages end in a line break. Whether it is the corpus's or that of a frame
    with empty lines between documents, no log can tell.
    """

    turns: int = 0
    blocks: int = 0
    same_blocks: int = 0
    refusals: int = 0
    broken: int = 0
    difference: TextDifference | None = None


def retell(response: str, protocol: AgentProtocol) -> Retold:
    """Render a log again, turn by turn."""
    told, place, refused = Retold(), 0, -1
    refusal = protocol.block.invalid_message
    response = _with_blanks(response, refusal or "")
    length = len(response.rstrip())
    while place < length:
        end = protocol.end_of_turn(response, place)
        if refusal and refused < place:  # which may hold a stop string itself
            refused = response.find(refusal, place)
            refused = length if refused < 0 else refused
        end = min(end, refused) if refusal else end
        action = protocol.parse(response[place:end])
        told.turns += 1
        if action.kind == "answer" or end >= length:
            break  # what a log holds after the answer was read by nobody
        if action.kind == "search":
            passages = _passages(response, end, protocol)
            told.blocks += 1
            expected = protocol.information(passages)
        else:
            told.refusals += 1
            expected = refusal or ""
        if len(response) < end + len(expected) and response[end:].rstrip() == expected.rstrip():
            expected = response[end:]  # what is shown last, less the blanks that a log may lose
        told.difference = first_difference(expected, response, end)
        if told.difference or not expected:
            break
        if action.kind == "search":
            told.same_blocks += 1
            told.broken += sum(passage.text.endswith("\n") for passage in passages)
        place = end + len(expected)
    return told


def _with_blanks(response: str, refusal: str) -> str:
    """A response that ends in the refusal, with the blanks after it that a log may lose."""
    refused, kept = refusal.rstrip(), response.rstrip()
    return kept + refusal[len(refused) :] if refused and kept.endswith(refused) else response


def first_difference(expected: str, text: str, start: int) -> TextDifference | None:
    """Where `text` from `start` on stops being `expected`. An empty one expects the end."""
    if expected and text.startswith(expected, start):
        return None
    found = text[start:]
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(expected, found, strict=False))
    place = sum(1 for _ in alike)
    return TextDifference(start + place, expected[place:], found[place:])


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


def _passages(response: str, start: int, protocol: AgentProtocol) -> list[Passage]:
    """The passages that the block after `start` shows; without a block, none."""
    opening, closing = marks_of(protocol)
    begin = response.find(opening, start)
    if begin < 0 or response[start:begin].strip():
        return []
    begin += len(opening)
    end = response.find(closing, begin)
    body = response[begin : end if end >= 0 else len(response)]
    before, _, after = protocol.block.information.partition("{passages}")
    body = body.removeprefix(before.rpartition(opening)[2]).removesuffix(
        after.partition(closing)[0]
    )
    return list(_read(body, protocol.block.passage))


def _read(body: str, template: str) -> Iterator[Passage]:
    """Passages out of their rendering by `template`. Only what it adds is taken off them: a line
    break more at the end of one is taken for the corpus's (see Retold), before the first for
    nobody's.
    """
    tail = template.rpartition("{text}")[2]
    if "{rank}" not in template:
        yield from _lines(body.lstrip("\n").removesuffix(tail), template)
        return
    rank, place = 1, body.find(_head(template, 1))
    if place < 0 or body[:place].strip("\n"):
        return
    while (after := body.find(tail + _head(template, rank + 1), place)) >= 0:
        yield _passage(rank, body[place:after], template)
        place, rank = after + len(tail), rank + 1
    yield _passage(rank, body[place:].removesuffix(tail), template)


def _lines(body: str, template: str) -> Iterator[Passage]:
    """Passages without numbers: a line each, and the lines after it in which no title ends."""
    passages: list[str] = []
    for line in body.split("\n") if body else []:
        if passages and _between(template) not in line:
            passages[-1] += f"\n{line}"
        else:
            passages.append(line)
    for number, shown in enumerate(passages, 1):
        yield _passage(number, shown, template)


def _head(template: str, rank: int) -> str:
    """What a passage begins with, before its title or text."""
    filled = template.replace("{rank}", str(rank))
    return filled[: min(filled.find(mark) for mark in _placeholders(filled))]


def _placeholders(template: str) -> list[str]:
    return [place for place in ("{title}", "{name}", "{text}") if place in template]


def _passage(rank: int, shown: str, template: str) -> Passage:
    told = shown[len(_head(template, rank)) :]
    if _title(template) is None:
        return Passage(str(rank), "", told)
    between = _between(template)
    between = between if between in told else between.strip() or between
    heading, _, text = told.partition(between)
    return Passage(str(rank), heading, text)


def _title(template: str) -> str | None:
    return next((place for place in ("{title}", "{name}") if place in template), None)


def _between(template: str) -> str:
    """What parts a passage's title from its text; nothing where no title is shown."""
    title = _title(template)
    return template.partition(title)[2].partition("{text}")[0] if title else ""
