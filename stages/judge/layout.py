"""Find values that stand under headings, or in a column of a Markdown table, in a judge's reply.

    ### Passage 1: Inception          | Passage | Title     | Grade |
    Score: 85                         | ------- | --------- | ----- |
    Reason: ...                       | 1       | Inception | 85    |

The reply is undecorated already (decoration.py). Where a heading's part has two values, both are
given, so that they count as two; where a table has two columns of values, there is no table.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import takewhile

_HEAD = re.compile(
    r"(?:[0-9]{1,3}[.)][ \t])?"
    r"(?:#?\[(?:(?:passage|document|doc|query|question)[ \t])?(?P<a>[0-9]++)\]"
    r"|(?:passage|document|doc|query|question|q)[ \t_-]?(?:no\.?[ \t])?#?\[?(?P<b>[0-9]++)\]?)"
    r"(?![0-9,])[ \t]*+[:.)–—-]?[ \t]*+",
    re.IGNORECASE,
)
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
Tidy = Callable[[str], str]


def by_headings(text: str, tidy: Tidy, *, named: bool) -> list[tuple[str, str]]:
    """(label, value) of each part under a heading. Empty where not every heading has a value.

    `named`: the value is in a line such as `Score: 85`; else in the first line of a part whose
    heading is a label and no more.
    """
    parts: list[tuple[str, str, list[str]]] = []
    for line in text.split("\n"):
        if head := _HEAD.match(line):
            parts.append((head["a"] or head["b"], line[head.end() :].strip(), []))
        elif parts and line.strip():
            parts[-1][2].append(line.strip())
    found = []
    for label, rest, lines in parts:
        values = [line[name.end() :] for line in lines if (name := _NAMED.match(line))]
        if not named:
            values = lines[:1] if not rest else []
        if not values:
            return []
        good = [value for value in values if _is_value(value, tidy)]
        found += [(label, value) for value in good or values[:1]]
    return found


def by_table(text: str) -> list[tuple[str, str]]:
    """(label, value) of each row of the only table whose head names one column of values.

    Labels are those of the column whose head says so; empty where two such columns differ.
    """
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n")]
    rules = [number for number, row in enumerate(rows) if _is_rule(row)]
    if len(rules) != 1 or rules[0] == 0:
        return []
    head = rows[rules[0] - 1]
    body = list(takewhile(lambda row: len(row) == len(head), rows[rules[0] + 1 :]))
    values = _columns(head, _VALUE) or _columns(head, _RELEVANCE)
    labels = []
    for place in _columns(head, _LABELLED):
        found = [_LABEL.fullmatch(row[place]) for row in body]
        if place not in values and all(found):
            labels.append([each["label"] for each in found])
    if len(head) < 2 or len(values) != 1 or not labels or any(each != labels[0] for each in labels):
        return []
    return [(label, row[values[0]]) for label, row in zip(labels[0], body, strict=True)]


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
