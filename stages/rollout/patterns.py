"""Match actions in an agent's text, in time linear in its length.

Most are two marks with anything between, `<search>(.*?)</search>`, or several such forms. A regular
expression tries every opening mark to the end of the text, which is quadratic where none is closed;
marks are therefore looked for as they are. Any other pattern runs under a time limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import regex

LIMIT = 10.0  # seconds for one search with a pattern of another form
_LITERAL = r"((?:\\[^\w\s]|[^\\.^$*+?{}\[\]()|])+)"
_FORM = re.compile(rf"{_LITERAL}\(\.\*\?\){_LITERAL}", re.DOTALL)
_BAR = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class PatternMatch:
    """A match in `text`: where it stands, and where what is read stands."""

    text: str
    start: int
    end: int
    inner: tuple[int, int]

    @property
    def value(self) -> str:
        """What is read. (No copy is made of what nobody asks for, or many long ones would be.)"""
        return self.text[slice(*self.inner)]


class SlowPattern(Exception):
    """A search took longer than LIMIT."""


class Pattern:
    """One pattern of a protocol. ValueError if it cannot be used, with the reason."""

    def __init__(self, pattern: str):
        parts = [_FORM.fullmatch(part) for part in _BAR.split(pattern)]
        self._marks = [(_plain(part[1]), _plain(part[2])) for part in parts if part]
        self._compiled = None
        if len(self._marks) < len(parts):
            try:
                self._compiled = regex.compile(pattern, regex.DOTALL)
            except regex.error as error:
                raise ValueError(f"is no regular expression ({error})") from None
            if self._compiled.groups < 1:
                raise ValueError("needs a group around what it reads")

    def finder(self, text: str) -> Callable[[int], PatternMatch | None]:
        """A function that gives the first match in `text` at or after a place.

        Asked for places in ascending order, it reads the text once in all.
        """
        if self._compiled is not None:
            return lambda place: self._searched(text, place)
        finders = [_between(text, *marks) for marks in self._marks]

        def first(place: int) -> PatternMatch | None:
            found = [match for finder in finders if (match := finder(place))]
            return min(found, key=lambda match: match.start, default=None)

        return first

    def _searched(self, text: str, place: int) -> PatternMatch | None:
        try:
            match = self._compiled.search(text, place, timeout=LIMIT)
        except TimeoutError:
            raise SlowPattern from None
        if match is None:
            return None
        groups = range(1, self._compiled.groups + 1)  # one for each of several forms
        spans = (match.span(number) for number in groups)
        inner = next((span for span in spans if span[0] >= 0), (match.end(), match.end()))
        return PatternMatch(text, match.start(), match.end(), inner)


def _between(text: str, opening: str, closing: str) -> Callable[[int], PatternMatch | None]:
    """Finds `opening`, anything (as little as can be), `closing`."""
    start = end = -1  # of the last opening and closing mark that were found

    def first(place: int) -> PatternMatch | None:
        nonlocal start, end
        if start < place:
            start = text.find(opening, place)
            start = len(text) if start < 0 else start
        begin = start + len(opening)
        if end < begin:
            end = text.find(closing, begin) if begin <= len(text) else -1
            end = len(text) + 1 if end < 0 else end
        if start == len(text) or end > len(text):
            return None
        return PatternMatch(text, start, end + len(closing), (begin, end))

    return first


def _plain(literal: str) -> str:
    """The text that a pattern without special signs matches."""
    return re.sub(r"\\(.)", r"\1", literal, flags=re.DOTALL)
