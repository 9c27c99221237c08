"""Find the message that another program shows after an invalid action.

Such a message names the form of a search, of an answer or of both, so it reads as actions. An
agent's turn ends with its action, and its answer ends the log: a line with a search that nothing
is shown for, or with an answer after which the log goes on, is the environment's if it stands there
word for word each time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stages.adoption.reader import FOUND, Reader, any_of
from stages.rollout.protocol import Action

LINES = 6  # of a message
ACTIONS = 8  # that are looked for in a line


@dataclass(frozen=True)
class _Line:
    """A line with actions that nothing was shown for; `open`: words follow the last of them."""

    number: int
    begin: int
    end: int
    actions: tuple[Action, ...]
    open: bool


@dataclass(frozen=True)
class _Seen:
    """A place of what may be a message, in the response `place`, and what the log shows of it.

    `pair`: one search and one answer, on a line or on two; `same`: of one word. `informed`: there
    is information after it; `went_on`: that, or another action. `taken`: the log ends with it.
    """

    place: tuple[str, int]
    lines: tuple[str, ...]
    kinds: frozenset[str]
    pair: bool
    same: bool
    open: bool
    informed: bool
    went_on: bool
    taken: bool


def found_refusals(texts: Sequence[tuple[str, str]], reader: Reader) -> list[str]:
    """The messages in responses of questions, (question's id, text) each.

    A search and an answer on a line, or on two, count if they are seen for two questions or twice
    in one response; seen once, if the log goes on with information, or if both are the same word
    and it goes on with another action: no answer was taken there. Other lines, alone or some that
    always stand together, must be seen so often, and more often before another action than at the
    end of a log; and words must follow their last action, or information an answer of theirs.
    """
    seen: dict[str, list[_Seen]] = defaultdict(list)
    for number, (identifier, text) in enumerate(texts):
        for message, one in _candidates(text, (identifier, number), reader):
            seen[message].append(one)
    counts = {message: len(uses) for message, uses in seen.items()}
    found = [message for message, uses in seen.items() if _is_message(uses, counts)]
    pattern = any_of(found)
    used = {match[0] for _, text in texts for match in pattern.finditer(text)}
    return [message for message in found if message in used]  # not the parts of longer ones


def _is_message(uses: list[_Seen], counts: dict[str, int]) -> bool:
    first = uses[0]
    responses = {one.place for one in uses}
    repeated = len({identifier for identifier, _ in responses}) > 1 or len(uses) > len(responses)
    if first.pair:
        return repeated or any(one.informed or (one.same and one.went_on) for one in uses)
    informed = "answer" in first.kinds and any(one.informed for one in uses)
    went_on, taken = sum(one.went_on for one in uses), sum(one.taken for one in uses)
    together = all(counts[line] == len(uses) for line in first.lines)
    return repeated and together and went_on > taken and (first.open or informed)


def _candidates(text: str, place: tuple[str, int], reader: Reader) -> Iterator[tuple[str, _Seen]]:
    """What may be a message in a text: lines with actions, and some of them together."""
    spans = reader.spans(text)
    informed = max((span.begin for span in spans if span.reason == FOUND), default=-1)
    blocks, acted, begin = [], -1, 0
    for end, after in [*((span.begin, span.end) for span in spans), (len(text), len(text))]:
        lines, last = _lines(text, begin, end, end != after, reader)
        blocks += _blocks(lines)
        acted, begin = max(acted, last), after
    for block in blocks:
        first, last = block[0], block[-1]
        told = tuple(text[line.begin : line.end].strip() for line in block)
        if len({*told}) < len(told):
            continue  # no message says one thing twice
        actions = [action for line in block for action in line.actions]
        kinds = frozenset(action.kind for action in actions)
        went_on = informed >= last.end or acted > last.end
        yield (
            text[first.begin : last.end].strip(),
            _Seen(
                place,
                told,
                kinds,
                len(actions) == len(kinds) == 2 and last.number - first.number <= 1,
                actions[0].value == actions[-1].value,
                last.open,
                informed >= last.end,
                went_on,
                not went_on and not last.open and actions[-1].kind == "answer",
            ),
        )


def _blocks(lines: list[_Line]) -> Iterator[list[_Line]]:
    for place, first in enumerate(lines):
        for end in range(place, len(lines)):
            if lines[end].number - first.number >= LINES:
                break
            yield lines[place : end + 1]


def _lines(text: str, begin: int, end: int, shown: bool, reader: Reader) -> tuple[list[_Line], int]:
    """The lines of text[begin:end] with actions, but for a search at its end that something was
    `shown` for, and where the last line with an action ends, -1 if there is none.
    """
    lines, last = [], -1
    for number, line in enumerate(text[begin:end].splitlines(keepends=True)):
        place, begin = begin, begin + len(line)
        actions, closed = _actions(line, reader)
        if not actions:
            continue
        last = begin
        more = bool(line[closed:].strip())
        if more or not shown or begin < end or actions[-1].kind != "search":
            lines.append(_Line(number, place, begin, tuple(actions), more))
    return lines, last


def _actions(line: str, reader: Reader) -> tuple[list[Action], int]:
    """The first actions of a line and where the last of them is closed."""
    actions, place, end = [], 0, 0
    while len(actions) < ACTIONS:
        action, place = reader.first_action(line, place)
        if action.kind == "invalid":
            break
        actions.append(action)
        end = place
    return actions, end
