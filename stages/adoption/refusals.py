"""What another program says after an invalid action, found in its logs.

Such a message names the form of a search and of an answer, so it reads as both, one after the other
on a line; an agent's turn would have ended with the first of them. It stands there word for word
each time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from stages.adoption.reader import FOUND, Reader


def found_refusals(texts: Sequence[tuple[str, str]], reader: Reader) -> list[str]:
    """The messages in responses of questions, (question's id, text) each.

    A line counts if it is seen for two questions or twice in one response; seen once, if the
    log goes on with information, or if search and answer are the same word and it goes on with
    another action: no answer was taken there.
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
    """Lines with a search and an answer, and whether the log itself shows that none was taken."""
    spans = reader.spans(text)
    informed = max((span.begin for span in spans if span.reason == FOUND), default=-1)
    found, acted, place = [], -1, 0
    for begin, end in [*((span.begin, span.end) for span in spans), (len(text), len(text))]:
        for line in text[place:begin].splitlines(keepends=True):
            first, one = reader.first_action(line)
            second, two = reader.first_action(line, one)
            third, _ = reader.first_action(line, two)
            place += len(line)
            if first.kind != "invalid":
                acted = place
            searched = place >= begin != end and not line[two:].strip()
            both = {first.kind, second.kind} == {"search", "answer"} and third.kind == "invalid"
            if both and not (searched and second.kind == "search"):
                found.append((place, line.strip(), first.value == second.value))
        place = end
    for where, message, same in found:
        yield message, informed >= where or (same and acted > where)
