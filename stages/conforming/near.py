"""Texts of a frame found although one character of them is another: to say which one it is."""

from __future__ import annotations

from functools import lru_cache

import regex

SHORTEST = 7  # characters; of shorter texts, one character from them is anything


def find_near(literal: str, text: str, start: int = 0, end: int | None = None) -> slice | None:
    """Where `literal` stands first in text[start:end], or before that a text one character off."""
    end = len(text) if end is None else end
    exact = text.find(literal, start, end)
    near = find_changed(literal, text, start, end if exact < 0 else exact)
    return near or (slice(exact, exact + len(literal)) if exact >= 0 else None)


def find_changed(literal: str, text: str, start: int, end: int) -> slice | None:
    """Where a text stands first in text[start:end] that one character parts from `literal`."""
    match = _within_one(literal).search(text, start, end) if len(literal) >= SHORTEST else None
    if match is None:
        return None
    begin, stop = match.span()
    substituted = match.fuzzy_changes[0]
    # Another character at an end may as well be a missing one there and the neighbour's text. It
    # is taken for the frame's if it is a blank where the frame has one, or none where it has none.
    if begin in substituted and text[begin].isspace() != literal[0].isspace():
        begin += 1
    if stop - 1 in substituted and text.startswith(literal[-1], stop):
        stop += 1  # one more, not another
    elif stop - 1 in substituted and text[stop - 1].isspace() != literal[-1].isspace():
        stop -= 1
    return slice(begin, stop)


@lru_cache
def _within_one(literal: str) -> regex.Pattern:
    return regex.compile(f"(?e)(?:{regex.escape(literal, literal_spaces=True)}){{1<=e<=1}}")
