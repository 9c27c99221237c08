"""Find values that stand under headings, or in a column of a Markdown table, in a judge's reply.

    ### Passage 1: Inception          | Passage | Title     | Grade |
    Score: 85                         | ------- | --------- | ----- |
    Reason: ...                       | 1       | Inception | 85    |

The reply is undecorated already (decoration.py). Where a heading's part has two values, both are
given, so that they count as two; where a table has two columns of values, or of labels that differ,
there is no table. What stands around is given too: it may take a value back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

_HEAD = re.compile(
    r"(?:[0-9]{1,3}[.)][ \t])?"
    r"(?:#?\[(?:(?:passage|document|doc|query|question)[ \t])?([0-9]++)\]"
    r"|(?:passage|document|doc|query|question|q)[ \t_-]?(?:no\.?[ \t])?#?\[?([0-9]++)\]?)"
    r"(?![0-9,])[ \t]*+[:.)–—-]?[ \t]*+",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"([0-9]{1,3})[.)][ \t]++(?=\S)")
_NAMED = re.compile(
    r"(?:[-+][ \t]{0,3})?(?:(?:local|overall|final|short|your|lr|relevance|sub)[ \t_-]){0,2}"
    r"(?:relevance|grade|score|rating|(?:sub)?answer|a)[ \t]?[0-9]{0,3}[ \t]?"
    r"(?:\([^()\n]{0,30}\))?[ \t]?[:=][ \t]*+(?=\S)",
    re.IGNORECASE,
)
_VALUE = re.compile(r"\b(?:grades?|scores?|ratings?|(?:sub-?)?answers?)\b", re.IGNORECASE)
_RELEVANCE = re.compile(r"\brelevance\b", re.IGNORECASE)
_LABELLED = re.compile(
    r"\b(?:passage|document|doc|query|question|item|id|no|number|label)s?\b|#", re.IGNORECASE
)
_LABEL = re.compile(
    r"(?:passage|document|doc|query|question|item|p|q)?[ \t_-]?#?"
    r"[\[(]?(?P<label>[0-9]++)[\])]?[.:]?",
    re.IGNORECASE,
)
_SCALE = re.compile(  # in the name of a column or a value: Grade (0-10)
    r"\b(?:grades?|scores?|ratings?|relevance)\b.{0,30}?"
    r"(?:\b[01][ \t]?(?:[-–]|to)[ \t]?|/|\bout of )"
    r"(?P<most>[0-9]{1,3})\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"^[^\w\n]{0,3}[0-9]++")
_GRADE = re.compile(r"[0-9]{1,3}(?:[ \t]?/[ \t]?100|[ \t]?%)?")
Tidy = Callable[[str], str]


@dataclass(frozen=True)
class Layout:
    """(label, value) of each item, and the lines that are of none."""

    rows: list[tuple[str, str]]
    rest: str


def by_headings(text: str, tidy: Tidy, *, named: bool) -> Layout | None:
    """The parts under headings. None where there is none, or one without a value.

    `named`: the value is in a line such as `Score: 85`; else in the first line of a part whose
    heading is a label and no more. A grade in the heading itself (`[1] 85`) is one of its values.
    A heading may be a number alone (`1. Q: who`) where the values are named.
    """
    parts, rest = _parts(text, numbered=named)
    rows = []
    for label, title, lines in parts:
        if named:
            found = [(line, _NAMED.match(line)) for line in lines]
            values = [_scaled(name[0], line[name.end() :]) for line, name in found if name]
            others = [line for line, name in found if not name]
        else:
            written = [line for line in lines if line]
            values, others = [] if title else written[:1], written[1:]
        if not values:
            return None
        good = [value for value in values if _is_value(value, tidy)]
        if _GRADE.fullmatch(title) and _is_value(title, tidy):
            good = [title, *good]
        rows += [(label, value) for value in good or values[:1]]
        rest += others
    return Layout(rows, "\n".join(rest)) if rows else None


def by_questions(text: str) -> Layout | None:
    """Queries that the reply restates, each with its answer in the next line. None otherwise."""
    parts, rest = _parts(text, numbered=True)
    rows = []
    for label, title, lines in parts:
        written = [line for line in lines if line]
        if not title.endswith("?") or not written:
            return None
        rows.append((label, written[0]))
        rest += written[1:]
    return Layout(rows, "\n".join(rest)) if rows else None


def _parts(text: str, *, numbered: bool) -> tuple[list[tuple[str, str, list[str]]], list[str]]:
    """(label, rest of the heading, lines below) of each part, and the lines before the first.
    `numbered`: where there is no other heading, a number alone is one.
    """
    parts: list[tuple[str, str, list[str]]] = []
    rest: list[str] = []
    lines = text.split("\n")
    head = _NUMBERED if numbered and not any(map(_HEAD.match, lines)) else _HEAD
    for line in lines:
        if found := head.match(line):
            parts.append((_first(found), line[found.end() :].strip(), []))
        else:
            (parts[-1][2] if parts else rest).append(line.strip())
    return parts, rest


def _first(found: re.Match) -> str:
    """The label, in whichever form it stands."""
    return next(group for group in found.groups() if group is not None)


def by_table(text: str) -> Layout | None:
    """The rows of the only table whose head names one column of values; None where there is none.

    Labels are those of the columns whose heads say so, alone in a cell or before a title.
    """
    lines = text.split("\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = [number for number, row in enumerate(rows) if _is_rule(row)]
    if len(rules) != 1 or rules[0] == 0:
        return None
    first = rules[0] + 1
    head = rows[first - 2]
    body = list(takewhile(lambda row: len(row) == len(head), rows[first:]))
    values = _columns(head, _VALUE) or _columns(head, _RELEVANCE)
    labels = []
    for place in _columns(head, _LABELLED):
        found = [_label(row[place]) for row in body]
        if place not in values and all(found):
            labels.append(found)
    if len(head) < 2 or len(values) != 1 or not labels or any(each != labels[0] for each in labels):
        return None
    name = head[values[0]]
    told = [_scaled(name, row[values[0]]) for row in body]
    found = list(zip(labels[0], told, strict=True))
    around = [*lines[: first - 2], *lines[first + len(body) :]]
    return Layout(found, "\n".join(around)) if found else None


def _scaled(name: str, value: str) -> str:
    """The value with the scale that its name tells, if that is another than 0 to 100."""
    scale = _SCALE.search(name)
    if scale is None or scale["most"] == "100":
        return value
    return _NUMBER.sub(rf"\g<0>/{scale['most']} ", value)


def _label(cell: str) -> str | None:
    """The label that a cell is, or that stands before its title."""
    if alone := _LABEL.fullmatch(cell):
        return alone["label"]
    head = _HEAD.match(cell)
    return _first(head) if head else None


def _columns(head: list[str], name: re.Pattern) -> list[int]:
    return [place for place, cell in enumerate(head) if name.search(cell)]


def _is_rule(row: list[str]) -> bool:
    return any(row) and all(re.fullmatch(r":?-*:?", cell) for cell in row)


def _is_value(value: str, tidy: Tidy) -> bool:
    try:
        tidy(value)
    except ValueError:
        return False
    return True
