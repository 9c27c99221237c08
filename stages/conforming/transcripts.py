"""Rewrite logs of other programs in a protocol, to compare them character by character.

A log is what followed the prompt, as one text: turns of the agent and what it was shown. Its turns
are taken as they stand, its passages are read out of what was shown, and all around them is the
protocol's: the first character that then differs is one that an agent would read otherwise here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from stages.adoption.frame import frame_of
from stages.adoption.reader import Reader, saying
from stages.adoption.refusals import found_refusals
from stages.common.records import Passage
from stages.conforming.logs import ConversationLog
from stages.conforming.near import find_changed, find_near
from stages.conforming.shown import after_blanks, logged_passages, marks_of
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

    `broken`: how many passages end in a line break, and `first_broken` where the first does.
    Whether it is the corpus's or that of a frame with empty lines between documents, no log can
    tell. `cut`: the log ends within the last block, and is the same as far as it goes.
    """

    turns: int = 0
    blocks: int = 0
    same_blocks: int = 0
    refusals: int = 0
    cut: bool = False
    broken: int = 0
    first_broken: int | None = None
    difference: TextDifference | None = None


def other_refusals(logs: Sequence[ConversationLog], protocol: AgentProtocol) -> list[str]:
    """What the logs' environments say after an invalid action in other words than the protocol's
    (see stages/adoption/refusals.py), where it names each action: else it may be what a search
    finds, in marks of another frame.
    """
    known = [protocol.block.invalid_message or ""]
    reader = Reader(protocol, frame_of(protocol, protocol.block), known)
    found = found_refusals([(log.id, log.response) for log in logs], reader)
    return [message for message in found if all(stop in message for stop in protocol.stop)]


def retell(response: str, protocol: AgentProtocol, others: Sequence[str] = ()) -> Retold:
    """Render a log again, turn by turn. `others`: refusals in other words than the protocol's."""
    told, place, refused, spoken = Retold(), 0, -1, saying(others)
    refusal = protocol.block.invalid_message
    response = _completed(response, refusal or "", protocol)
    length = len(response.rstrip())
    while place < length:
        end = protocol.end_of_turn(response, place)
        if refused < place:
            refused = _next_refusal(response, place, refusal or "", spoken)
        end = min(end, refused)  # for a refusal may hold a stop string itself
        action = protocol.parse(response[place:end])
        told.turns += 1
        told.difference = changed_tag(response, place, end, action.kind, protocol)
        if told.difference:
            told.blocks += 1  # which such a tag asked for
            break
        if action.kind == "answer" or end >= length:
            break  # what a log holds after the answer was read by nobody
        if action.kind == "search":
            passages = logged_passages(response, end, protocol)
            told.blocks += 1
            expected = protocol.information(passages)
        else:
            told.refusals += 1
            expected = refusal or ""
        if length < end + len(expected) and expected.startswith(response[end:length]):
            told.cut = length < end + len(expected.rstrip())  # else only blanks are lost
            expected = response[end:]
        told.difference = first_difference(expected, response, end)
        if told.difference or not expected:
            break
        if action.kind == "search":
            told.same_blocks += 1
            for passage in passages:
                if passage.text.endswith("\n"):
                    told.broken += 1
                    if told.first_broken is None:
                        told.first_broken = _end_of_text(passage, response, end)
        place = end + len(expected)
    return told


def _next_refusal(response: str, place: int, refusal: str, spoken: re.Pattern) -> int:
    """Where the next refusal begins: the protocol's, or one in other words after the same blanks.
    The end of the response if there is none.
    """
    near = find_near(refusal, response, place) if refusal else None
    begin = near.start if near else len(response)
    if other := spoken.search(response, place, begin):
        blanks = refusal[: len(refusal) - len(refusal.lstrip())]
        begin = other.start()
        begin -= len(blanks) if response.endswith(blanks, place, begin) else 0
    return begin


def changed_tag(
    response: str, place: int, end: int, kind: str, protocol: AgentProtocol
) -> TextDifference | None:
    """Where one character keeps a tag of the turn response[place:end] from being that of a search,
    though passages are shown right after it.
    """
    mark, _ = marks_of(protocol)
    for stop in protocol.stop if mark in response[place:end] else []:
        tag = find_changed(stop, response, place, end)
        while tag and not response.startswith(mark, after_blanks(response, tag.stop)):
            tag = find_changed(stop, response, tag.stop, end)
        if tag:
            return first_difference(stop, response, tag.start)
    if kind != "invalid" or not response.startswith(mark, after_blanks(response, end)):
        return None
    opening = re.sub(r"\\(\W)", r"\1", protocol.block.search_pattern.partition("(")[0])
    stop = next((stop for stop in protocol.stop if response.endswith(stop, place, end)), "")
    tag = find_changed(opening, response, place, end - len(stop))
    return first_difference(opening, response, tag.start) if tag else None


def _end_of_text(passage: Passage, response: str, start: int) -> int:
    """Where the line breaks begin in which a passage ends that is shown after `start`."""
    return response.find(passage.text, start) + len(passage.text.rstrip("\n"))


def _completed(response: str, refusal: str, protocol: AgentProtocol) -> str:
    """A response that ends in the refusal, with the blanks after it that a log may lose; or within
    it, after an action that it names, with the rest of it: that action is not the agent's.
    """
    kept = response.rstrip()
    for size in range(len(refusal), protocol.end_of_turn(refusal) - 1, -1):
        begun = refusal[:size].rstrip()
        if begun and kept.endswith(begun):
            return kept + refusal[len(begun) :]
    return response


def first_difference(expected: str, text: str, start: int) -> TextDifference | None:
    """Where `text` from `start` on stops being `expected`. An empty one expects the end."""
    if expected and text.startswith(expected, start):
        return None
    found = text[start:]
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(expected, found, strict=False))
    place = sum(1 for _ in alike)
    return TextDifference(start + place, expected[place:], found[place:])
