"""Strip Markdown, labels and JSON from a judge's reply, so that a prompt's pattern can parse it.

A reply is tried as it stands first, then with ever more taken off, until the pattern reads it.
Before that, one that puts each value under a heading of its own, or in a column of a table, is
brought to lines (layout.py), since there the line of a label may hold a title and no value. A
pattern that finds nothing in such lines, but in the text, is one for that form as it stands.

1. as it stands;
2. without emphasis, backticks, code fences, bullets, quote marks, headings and tags such as <b>,
   <answer> or </s>;
3. with every line that opens with a label in the one form `[1] value`: `Passage [1]: 85`,
   `[Passage 1] 85`, `1. 85`, `1) 85`, `(1) 85`, `1: 85`, `#1 - 85`, `| 1 | 85 |`,
   `Score for [1]: 85`, `Passage 1 (85)`, `1. [1] 85`, `【1】85`, `［1］：85`, `① 85`;
4. with a line that has several labels cut before each of them: `[1] 85, [2] 10`, also behind words
   with a colon: `Grades: [1] 85, [2] 10`;
5. with JSON as such lines: a list of as many values as were asked for, an object by label, objects
   with a label and a value, pairs, or one such thing under a key; in a list or one a line. Bare
   values are read under a key that names values (`grades`), not under `ranking` or `relevant`.

Lists of bare numbers without brackets (`85, 10`) are not read: nothing says what they are. Nor is a
list in brackets that has words on its line, or that holds the labels themselves (`[2, 1]` ranks).
A pattern without labels gets the values alone, one a line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress

from stages.judge import layout

_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff]")
_TAGS = re.compile(
    r"</?(?:b|i|u|strong|em|code|br|p|li|ul|ol|pre|span|answers?|final_answer|output|results?"
    r"|response|reply|grades?|scores?|ratings?|s|del|passage|document|doc|query|item|end_of_turn"
    r"|eos)[ \t]?/?>|<[|｜][^<>|｜\n]{1,30}[|｜]>|\[/?INST\]",
    re.IGNORECASE,
)
_NUMBERED = re.compile(  # <passage id="1">
    r"<(?:passage|document|doc|query|item|answer|grade|score|rating|result)[ \t]{1,3}"
    r"(?:id|no|nr|n|number|index|passage|query)[ \t]?=[ \t]?[\"']?(?P<label>[0-9]{1,4})[\"']?>",
    re.IGNORECASE,
)
_WIDE = re.compile(  # at the start of a line, after a bullet: wide brackets, or one sign
    r"^(?P<lead>[^\w\n\[(【［（〔①-⑳]{0,8})(?:[【［（〔]\s?(?P<noun>[A-Za-z]{0,12})\s?"
    r"(?P<label>[0-9]{1,4})\s?[】］）〕]|(?P<key>[0-9])\ufe0f?\u20e3|(?P<round>[①-⑳]))"
    r"[ \t]*+[:：]?",
    re.MULTILINE,
)
_FENCE = re.compile(r"^[ \t]*+(?:```|~~~)[a-z]*+[ \t]*+$", re.MULTILINE)
_EMPHASIS = re.compile(r"(?<!\w)[*_]{1,3}+(?=\S)|(?<=\S)\*{1,3}+(?!\w)|(?<=[^\s_])_{1,3}+(?!\w)")
_LEAD = re.compile(r"(?:[^\w\[({\]}\"'“‘«|<#+\-.]|[-+](?!\d)|#(?!\d))++")
_NOUN = (
    r"(?:passages?|documents?|docs?|items?|(?:search )?quer(?:y|ies)|questions?|sub-?answers?"
    r"|answers?|results?|candidates?|texts?|snippets?|contexts?|grades?|scores?|ratings?|numbers?"
    r"|nos?|nr|id|[pqda])(?![a-z])[ \t_-]?\.?[ \t]?(?:no\.?|number|nr\.?)?[ \t]?"
)
_FOR = r"(?:(?:relevance )?(?:score|grade|rating|answer)s? (?:for|of|to) (?:the )?)?"
_BRACKETED = (
    rf"{_FOR}(?:{_NOUN})?#?(?:\[[ \t]?(?:{_NOUN})?#?(?P<a>[0-9]++)[ \t]?\]|\((?P<b>[0-9]++)\)"
    r"|【(?P<c>[0-9]++)】|\{(?P<d>[0-9]++)\})"
    r"(?:[ \t]?(?:[:：)=|]|[.,](?![0-9])|[-=]>|[→⇒]|[-–—](?=[ \t])))?"
)
_WORDED = (
    rf"{_FOR}{_NOUN}#?(?P<e>[0-9]++)[ \t]?"
    r"(?:[:.)=|](?![0-9])|[:：]|[-=]>|[→⇒]|[-–—](?=[ \t])|(?=\())"
)
_BARE = (
    r"#?(?P<f>[0-9]++)(?:[.)](?=\s|\Z)|\)|:|[ \t]?(?:=(?!=)|\||[-=]>|[→⇒])|[ \t][-–—](?=[ \t])|\t)"
)
_LABEL = re.compile(rf"(?:{_BRACKETED}|{_WORDED}|{_BARE})[ \t]*+", re.IGNORECASE)
_NEXT = re.compile(
    rf"(?<![\w.\[(])(?:{_BRACKETED}|{_WORDED}|(?P<g>[0-9]++)(?:[.)](?=\s)|:(?=\s)))[ \t]*+",
    re.IGNORECASE,
)
_ITS_OWN = re.compile(rf"(?:{_BRACKETED}|{_WORDED})[ \t]*+", re.IGNORECASE)
_ALONE = re.compile(r"[\[(][0-9]++[\])]\s*+\Z")
_TRAILING = re.compile(r",(?=\s{0,99}[}\]])")
_KEY = re.compile(
    rf"\[?(?:{_NOUN}|[a-z]{{1,12}}[ _-])?[ _-]?#?(?P<label>[0-9]++)\]?", re.IGNORECASE
)
_LABELS = ("label", "id", "number", "index", "passage", "passage_id", "passage_number", "document")
_LABELS += ("doc", "query", "query_id", "item", "n", "rank")
_VALUES = ("grade", "score", "relevance", "relevance_score", "rating", "value", "lr", "answer")
_VALUES += ("sub_answer", "short_answer", "response")
_VALUE_END = ("_score", "_grade", "_rating", "_answer")
_DEPTH = 3  # of keys around a list
Tidy = Callable[[str], str]


def versions(
    text: str, count: int, labelled: bool, tidy: Tidy, reads: Callable[[str], bool]
) -> Iterator[str]:
    """The reply as it stands, then with more and more taken off; see the list above.

    `tidy` gives a value as it is kept, and a ValueError where it is none: the lines that are made
    have tidy values, so that a pattern for bare digits reads them. `reads`: whether the pattern
    finds anything in a text.
    """
    plain = undecorated(text)
    found = (
        layout.by_table(plain)
        or layout.by_headings(plain, tidy, named=True)
        or layout.by_questions(plain)
    )
    if found:
        made = _lines(found, labelled, tidy)
        if reads(made) or not reads(text):
            yield made
            return
    seen = {text}
    yield text
    makes = (
        lambda: plain,
        lambda: "\n".join(_listed(line, labelled, tidy) for line in plain.split("\n")),
        lambda: "\n".join(
            _listed(part, labelled, tidy) for line in plain.split("\n") for part in _parts(line)
        ),
        lambda: _from_json(plain, count, labelled, tidy),
        lambda: _lines(layout.by_headings(plain, tidy, named=False), labelled, tidy),
    )
    for make in makes:
        version = make()
        if version and version not in seen:
            seen.add(version)
            yield version


def fault(text: str, tidy: Tidy) -> str | None:
    """Why the first of the labelled lines whose value is none has none."""
    for line in undecorated(text).split("\n"):
        if found := _LABEL.match(line):
            try:
                tidy(line[found.end() :])
            except ValueError as error:
                return str(error)
    return None


def unlabelled(text: str) -> str:
    """The undecorated lines that open with no label."""
    lines = undecorated(text).split("\n")
    return "\n".join(line for line in lines if not _LABEL.match(line))


def undecorated(text: str) -> str:
    """The text without what Markdown, HTML and the like put around its words."""
    text = _INVISIBLE.sub("", text.replace("\u00a0", " ").replace("\r\n", "\n").replace("\r", "\n"))
    text = _FENCE.sub("", text.replace("\\[", "[").replace("\\]", "]"))
    text = _WIDE.sub(_narrow, _NUMBERED.sub(r"[\g<label>] ", text))
    text = _EMPHASIS.sub("", _TAGS.sub("", text.replace("`", "").replace("~~", "")))
    return "\n".join(_plain_line(line) for line in text.split("\n"))


def _narrow(found: re.Match) -> str:
    """A label in wide brackets, or of one sign, as `[1] `."""
    ring = found["round"]
    number = found["label"] or found["key"] or str(ord(ring) - ord("①") + 1)
    noun = f"{found['noun']} " if found["noun"] else ""
    return f"{found['lead']}[{noun}{number}] "


def _plain_line(line: str) -> str:
    line = line.strip()
    if line.startswith("|"):
        return line.strip("| \t")
    lead = _LEAD.match(line)
    return line[lead.end() :] if lead else line


def _listed(line: str, labelled: bool, tidy: Tidy) -> str:
    """The line as `[1] value` if it opens with a label, else as it is."""
    found = _LABEL.match(line)
    if found is None:
        return line
    if found["f"] is not None:  # `1. [1] 85`: the item has a label of its own
        if _ALONE.match(line, found.end()):
            return line  # `1. [2]` is a rank
        found = _ITS_OWN.match(line, found.end()) or found
    return _item(_number(found), line[found.end() :], labelled, tidy)


def _item(label: str, value: str, labelled: bool, tidy: Tidy) -> str:
    with suppress(ValueError):
        value = tidy(value)
    value = value.replace("\n", " ")
    return f"[{label}] {value}" if labelled else value


def _lines(found: layout.Layout | None, labelled: bool, tidy: Tidy) -> str:
    """Its rows as items. What stands around follows where labels tell which lines are items."""
    if found is None:
        return ""
    items = [_item(label, value, labelled, tidy) for label, value in found.rows]
    return "\n".join([*items, *([found.rest] if labelled else [])])


def _number(found: re.Match) -> str:
    return next(group for group in found.groups() if group is not None)


def _parts(line: str) -> list[str]:
    """The line cut before each of its labels, without what joins the parts."""
    starts = [found.start() for found in _NEXT.finditer(line)]
    head = line[: starts[0]] if starts else ""
    if not starts or (head and not head.rstrip().endswith(":")):
        return [line]
    ends = [*starts[1:], len(line)]
    parts = [_unjoined(line[start:end]) for start, end in zip(starts, ends, strict=True)]
    return [head, *parts] if head else parts


def _unjoined(part: str) -> str:
    return part.rstrip().removesuffix(" and").rstrip(" \t,;|/")


def _from_json(text: str, count: int, labelled: bool, tidy: Tidy) -> str | None:
    """The text with its JSON as lines of items; None where there is no JSON of items."""
    if re.search(r"\\u003[0-9]", text):  # a digit that the text does not show
        return None
    starts = sorted({place for mark in "[{" if (place := text.find(mark)) >= 0})
    found = ((start, _decoded(text, start)) for start in starts)
    start, decoded = next((pair for pair in found if pair[1]), (0, None))
    if decoded is None:
        return None
    values, end = decoded
    items = _items(values[0] if len(values) == 1 else values, count)
    around = text[:start] + text[end:]
    alone = isinstance(values[0], list) and len(values[0]) == 1 and isinstance(values[0][0], str)
    if not items or (alone and (around.strip() or values[0][0] == "1")):
        return None  # `[1]` alone may be a label
    if all(isinstance(value, str) for value in values[0]) and _in_words(
        values[0], text, start, end
    ):
        return None
    lines = [_item(label, value, labelled, tidy) for label, value in items]
    return "\n".join([text[:start], *lines, text[end:]])


def _in_words(numbers: list[str], text: str, start: int, end: int) -> bool:
    """Whether a list stands in a sentence, or ranks the labels: it is no list of values then."""
    before = text[:start].rpartition("\n")[2].strip()
    after = text[end:].partition("\n")[0].strip(" .,;")
    ranks = len(numbers) > 1 and set(numbers) == {str(n) for n in range(1, len(numbers) + 1)}
    return ranks or bool(after) or (bool(before) and not before.endswith(":"))


class _Pairs(list):
    """A JSON object as its (key, value) pairs: of a key that occurs twice, none is lost."""


def _decoded(text: str, start: int) -> tuple[list, int] | None:
    """All JSON lists and objects that follow each other from `start`, and where they end."""
    decoder = json.JSONDecoder(
        object_pairs_hook=_Pairs, parse_int=str, parse_float=str, parse_constant=str
    )
    values, end = [], start
    text = _TRAILING.sub(" ", text)  # as long as it was
    text = text if '"' in text else text.replace("'", '"')
    try:
        while True:
            value, end = decoder.raw_decode(text, start)
            values.append(value)
            start = end
            while start < len(text) and text[start] in " \t\n,;":
                start += 1
            if start == len(text) or text[start] not in "[{":
                return values, end
    except (ValueError, RecursionError):
        return (values, end) if values else None


def _items(value: object, count: int, depth: int = 0) -> list[tuple[str, str]] | None:
    """(label, value) of each item that JSON `value` holds; None if it holds none."""
    if isinstance(value, _Pairs):
        named = [(_KEY.fullmatch(key.strip()), inner) for key, inner in value]
        if named and all(key for key, _ in named):
            found = [(key["label"], _scalar(inner)) for key, inner in named]
            return found if all(text is not None for _, text in found) else None
        inside = [(key, inner) for key, inner in value if isinstance(inner, list)]
        if len(inside) == 1 and depth < _DEPTH:
            key, inner = inside[0]
            bare = not isinstance(inner, _Pairs) and not any(isinstance(e, list) for e in inner)
            return None if bare and not _names_values(key) else _items(inner, count, depth + 1)
        value = [value]
    if not isinstance(value, list) or not value:
        return None
    rows = [_row(row) for row in value]
    if any(row is None for row in rows):
        return None
    if all(label is None for label, _ in rows) and len(rows) == count:
        return [(str(number), text) for number, (_, text) in enumerate(rows, 1)]
    return rows if all(label is not None for label, _ in rows) else None


def _names_values(key: str) -> bool:
    """Whether a list of bare values under `key` holds what was asked for: `grades`, `output`."""
    name = key.strip().casefold().replace(" ", "_").replace("-", "_")
    return any(
        name in (word, f"{word}s") or name.endswith((f"_{word}", f"_{word}s"))
        for word in (*_VALUES, "result", "output", "reply", "data", "item")
    )


def _row(row: object) -> tuple[str | None, str] | None:
    """(label or None, value) of one element of a list."""
    if isinstance(row, _Pairs):
        keys = [(key.strip().casefold().replace(" ", "_"), value) for key, value in row]
        labels = [value for key, value in keys if key in _LABELS and isinstance(value, str)]
        found = [value for key, value in keys if key in _VALUES or key.endswith(_VALUE_END)]
        if not found and len(keys) == 1 and (key := _KEY.fullmatch(keys[0][0])):
            labels, found = [key["label"]], [keys[0][1]]
        if len(found) != 1 or len(labels) > 1 or (text := _scalar(found[0])) is None:
            return None
        label = _KEY.fullmatch(labels[0].strip()) if labels else None
        return (label["label"] if label else None, text) if label or not labels else None
    if isinstance(row, list):
        if len(row) != 2 or not all(isinstance(part, str) for part in row):
            return None
        label = _KEY.fullmatch(row[0].strip())
        return (label["label"], row[1]) if label else None
    text = _scalar(row)
    return None if text is None else (None, text)


def _scalar(value: object) -> str | None:
    """A JSON text, number or null as text; the value of an object that has one such."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, list) and not isinstance(value, _Pairs) and len(value) == 1:
        return value[0] if isinstance(value[0], str) else None
    if isinstance(value, _Pairs):
        found = [inner for key, inner in value if key.strip().casefold() in _VALUES]
        return _scalar(found[0]) if len(found) == 1 and not isinstance(found[0], list) else None
    return None
