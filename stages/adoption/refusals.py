"""Find the message that another program shows after an invalid action.

Such a message names the form of a search and of an answer, so it reads as both, one after the other
on a line or on two; an agent's turn would have ended with the first of them. It stands there word
for word each time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from stages.adoption.reader import FOUND, Reader
from stages.rollout.protocol import Action


def found_refusals(texts: Sequence[tuple[str, str]], reader: Reader) -> list[str]:
    """The messages in responses of questions, (question's id, text) each.

    A line, or a pair of lines, counts if it is seen for two questions or twice in one response;
    seen once, if the log goes on with information, or if search and answer are the same word and
    it goes on with another action: no answer was taken there.
    """
    seen: dict[str, list[tuple[str, int]]] = defaultdict(list)
    sure = set()
    for number, (identifier, text) in enumerate(texts):
        for message, certain in _candidates(text, reader):
            seen[message].append((identifier, number))
            if certain:
                sure.add(message)
    return [
        message
        for message, places in seen.items()
        if message in sure
        or len({identifier for identifier, _ in places}) > 1
        or len(places) > len(set(places))
    ]


def _candidates(text: str, reader: Reader) -> Iterator[tuple[str, bool]]:
    """Lines, or pairs of them, with a search and an answer, and whether the log itself shows that
    none was taken.
    """
    spans = reader.spans(text)
    informed = max((span.begin for span in spans if span.reason == FOUND), default=-1)
    found, acted, place = [], -1, 0
    for begin, end in [*((span.begin, span.end) for span in spans), (len(text), len(text))]:
        before: tuple[str, list[Action]] = ("", [])
        for line in text[place:begin].splitlines(keepends=True):
            actions, last = _actions(line, reader)
            place += len(line)
            if actions:
                acted = place
            asked = bool(actions) and actions[-1].kind == "search"
            if asked and place >= begin != end and not line[last:].strip():
                continue  # a search that something was shown for
            for message, told in ((line, actions), (before[0] + line, [*before[1], *actions])):
                if len(told) == 2 and {action.kind for action in told} == {"search", "answer"}:
                    found.append((place, message.strip(), told[0].value == told[1].value))
                    break
            before = (line, actions)
        place = end
    for where, message, same in found:
        yield message, informed >= where or (same and acted > where)


def _actions(line: str, reader: Reader) -> tuple[list[Action], int]:
    """The first actions of a line, three at most, and where the last of them is closed."""
    actions, place, end = [], 0, 0
    while len(actions) < 3:
        action, place = reader.first_action(line, place)
        if action.kind == "invalid":
            break
        actions.append(action)
        end = place
    return actions, end
