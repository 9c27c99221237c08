"""Prompts of the judge: files with the pattern that reads the reply beside the text.

A prompt file is YAML with the keys

    template    the text, with the fields that its step fills in, as in `{query}`
    pattern     a regular expression for one item of the reply: a group `value`, and a group
                `label` where items are labelled. Without labels the items are read in order.
    item        one line of a numbered list in the prompt, of `{label}`, `{title}` and `{text}`
                (default `[{label}] {text}` and a line break)
    missing     what stands where there is nothing to say: no reference, or, in a reply, no
                sub-answer (default `none`)
    gold        for sub-answers: the words that tell the gold answers, with `{answers}`; they stand
                where the template has `{gold}`, if the answers are told (default: never told)
    chat        true: the prompt is one user message through the judge's chat template
    stop        texts that end the reply, for judges that would write on (default none)

so that another judge is another file and no code. The pattern is the only reader of a reply, whose
thoughts are cut off first (reasoning.py); where it cannot read the reply as it stands, it is given
the reply with its decoration taken off (decoration.py). What a grade is, and what "not sure", is
said in grammar.py. A pattern that takes longer than `TIME_LIMIT` on one reply reads nothing in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from string import Formatter

import regex

from stages.common.records import check_encodable, read_yaml
from stages.judge.decoration import fault, undecorated, versions
from stages.judge.reasoning import without_reasoning
from stages.plumbing.errors import InputError

KEYS = {
    "template": (str, None),
    "pattern": (str, None),
    "item": (str, "[{label}] {text}\n"),
    "missing": (str, "none"),
    "gold": (str, ""),
    "chat": (bool, False),
    "stop": (list, []),
}
ITEM_FIELDS = {"label", "title", "text"}
WORDY = 2  # words of an explanation, at least
TIME_LIMIT = 5.0  # seconds of one pattern on one reply
ABSENT = ("missing_labels", "missing_values")
_SECOND = re.compile(  # between a label and a value that is the second number of its line
    r"\W{0,9}[0-9]{1,3}(?:\.0{1,9})?(?:\W|out|of|or|to|and|then|maybe|perhaps|\[[0-9]{1,3}\]){0,9}"
)


_NUMBER = re.compile(r"(?<![0-9])(?:100|[0-9]{1,2})(?![0-9])")
_REMARK = re.compile(  # in the words around the values: a label, and a number that is said of it
    r"(?:(?:\[|\b(?:passage|document|doc)\s?\[?)(?P<label>[0-9]{1,4})\]?"
    r"|\bthe (?P<ordinal>first|second|third|fourth|fifth)\b(?: one| passage| document)?)"
    r"\s?[:=]?\s?"
    r"(?:(?:is|be|should|have|been|now|gets|becomes|deserves|merits|needs|scores?|grades?|ratings?"
    r"|worth|to|a|of|at|->|→)"
    r"[:=]?\s){0,3}"
    r"(?P<value>100|[0-9]{1,2})(?=\s?(?:[.,;)%!]|/100|$|because\b|since\b|instead\b))(?!\.[0-9])",
    re.IGNORECASE | re.MULTILINE,
)


_ORDINALS = ("first", "second", "third", "fourth", "fifth")


class MalformedReply(ValueError):
    """The judge's reply does not say one thing of each item. The message is a short reason."""


@dataclass(frozen=True)
class Prompt:
    """A prompt and the pattern of its reply."""

    template: str
    pattern: re.Pattern
    item: str
    missing: str
    chat: bool
    stop: list[str] = field(default_factory=list)
    gold: str = ""

    @classmethod
    def load(cls, path: str | Path, *fields: str) -> Prompt:
        """Read a prompt file whose template has exactly these `fields`.

        InputError names the file and the key that is missing, unknown or wrong.
        """
        values = _read(path)
        if values["gold"]:
            _check_fields(path, "gold", values["gold"], {"answers"}, {"answers"})
            fields = (*fields, "gold")
        _check_fields(path, "template", values["template"], set(fields), set(fields))
        _check_fields(path, "item", values["item"], {"text"}, ITEM_FIELDS)
        return cls(**{**values, "pattern": _compile(path, values["pattern"])})

    def render(self, **fields: str) -> str:
        """The prompt as text."""
        return self.template.format(**fields)

    def numbered(self, texts: list[str], titles: list[str] | None = None) -> str:
        """Texts as a list numbered from 1, each on one line so that none can pose as another."""
        titles = titles or [""] * len(texts)
        return "".join(
            self.item.format(label=label, title=one_line(title), text=one_line(text))
            for label, (title, text) in enumerate(zip(titles, texts, strict=True), 1)
        )

    def parse(
        self, reply: str, count: int, tidy: Callable[[str], str] = str, *, numbers: bool = False
    ) -> list[str]:
        """The values that a reply gives to items 1..count, in the items' order.

        `tidy` gives a value as it is kept, or a MalformedReply. With `numbers` a second value for
        an item is looked for in the words around the values too.

        MalformedReply if a label is missing, occurs twice or is out of range, if an unlabelled
        reply does not have `count` values, or if nothing is left without the thoughts.
        """
        text = without_reasoning(reply)
        if reply.strip() and not text.strip():
            raise MalformedReply("only_reasoning")
        labelled = "label" in self.pattern.groupindex
        failure = None
        for version in versions(text, count, labelled, tidy, self._reads):
            try:
                found = self._find(version)
                if numbers and labelled:
                    found = _with_numbers(found)
                values = _values(found, count, labelled)
                if numbers and any(_is_second(version, match) for match in found):
                    raise MalformedReply("two_grades")
                tidied = [tidy(value) for value in values]
            except MalformedReply as error:
                if str(error) == "duplicate_labels":
                    raise
                failure = error if failure is None or str(failure) in ABSENT else failure
                continue
            if numbers and labelled and self._says_other(_without(version, found), tidied, tidy):
                raise MalformedReply("duplicate_labels")
            return tidied
        if str(failure) in ABSENT and (reason := fault(text, tidy)):
            raise MalformedReply(reason)
        raise failure

    def _find(self, text: str) -> list:
        """All matches of the pattern."""
        pattern = _limited(self.pattern)
        try:
            return list(pattern.finditer(text, timeout=TIME_LIMIT))
        except TimeoutError:
            raise MalformedReply("pattern_took_too_long") from None

    def _reads(self, text: str) -> bool:
        return bool(self._find(text))

    def _says_other(self, rest: str, told: list[str], tidy: Callable[[str], str]) -> bool:
        """Whether the words around the values give some item another value than it was `told`."""
        if not rest.strip():
            return False
        said = [(_label(found), found["value"]) for found in _REMARK.finditer(undecorated(rest))]
        for version in versions(rest, len(told), True, tidy, self._reads):
            said += [(match["label"] or "", match["value"] or "") for match in self._find(version)]
        for label, value in said:
            try:
                number = as_integer(label)
                if 1 <= number <= len(told) and int(tidy(value)) != int(told[number - 1]):
                    return True
            except MalformedReply:
                continue
        return False


def _label(remark: re.Match) -> str:
    ordinal = remark["ordinal"]
    return str(_ORDINALS.index(ordinal.casefold()) + 1) if ordinal else remark["label"]


def _values(found: list, count: int, labelled: bool) -> list[str]:
    """The values of the matches, in the items' order; see Prompt.parse."""
    if not labelled:
        if len(found) != count:
            raise MalformedReply("missing_values" if len(found) < count else "extra_values")
        return [match["value"] or "" for match in found]
    values = {}
    for match in found:
        label = as_integer(match["label"] or "")
        if not 1 <= label <= count:
            raise MalformedReply("extra_labels")
        if label in values:
            raise MalformedReply("duplicate_labels")
        values[label] = match["value"] or ""
    if len(values) < count:
        raise MalformedReply("missing_labels")
    return [values[label] for label in range(1, count + 1)]


def _with_numbers(found: list) -> list:
    """The matches without explanations: words, and no number of 0 to 100, about an item whose
    grade stands elsewhere."""
    graded = {match["label"] for match in found if not _explains(match["value"] or "")}
    return [m for m in found if m["label"] not in graded or not _explains(m["value"] or "")]


def _explains(value: str) -> bool:
    return len(value.split()) >= WORDY and not _NUMBER.search(value)


def _is_second(text: str, match) -> bool:
    """Whether a pattern for a line's last number found that of `85 / 100` or of `85 or 90`."""
    start = match.end("label") if "label" in match.re.groupindex else match.start()
    return bool(_SECOND.fullmatch(text, start, match.start("value")))


def _without(text: str, found: list) -> str:
    """The text with each match as an empty line."""
    parts, end = [], 0
    for match in found:
        parts.append(text[end : match.start()])
        end = max(end, match.end())
    return "\n".join([*parts, text[end:]])


@cache
def _limited(pattern: re.Pattern) -> regex.Pattern:
    """The same pattern as one whose search can be given a time limit."""
    return regex.compile(pattern.pattern, pattern.flags)


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())


def as_integer(text: str) -> int:
    """The integer that `text` writes in ASCII digits. MalformedReply if it writes none."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise MalformedReply("not_an_integer")
    return int(text)


def _read(path: str | Path) -> dict:
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise InputError(f"{path}: a prompt file has keys: {', '.join(KEYS)}")
    for key in values:
        if key not in KEYS:
            raise InputError(f"{path}: unknown key '{key}' (known: {', '.join(KEYS)})")
    for key, (kind, default) in KEYS.items():
        value = values.setdefault(key, copy(default))
        if not isinstance(value, kind):
            found = "nothing" if value is None else type(value).__name__
            raise InputError(f"{path}: '{key}' must be a {kind.__name__}, found {found}")
        if kind is str:
            check_encodable(value, key, str(path))
    if not all(isinstance(text, str) and text for text in values["stop"]):
        raise InputError(f"{path}: 'stop' must be a list of texts")
    return values


def _check_fields(path, key: str, template: str, needed: set[str], allowed: set[str]) -> None:
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise InputError(f"{path}: '{key}': {error} (write {{{{ for a brace)") from None
    for _, name, spec, conversion in parts:
        if name is not None and (name not in allowed or spec or conversion):
            known = ", ".join(sorted(allowed))
            raise InputError(f"{path}: '{key}': unknown field '{{{name}}}' (known: {known})")
    for name in sorted(needed - {name for _, name, _, _ in parts}):
        raise InputError(f"{path}: '{key}' must hold the field '{{{name}}}'")


def _compile(path, pattern: str) -> re.Pattern:
    try:
        compiled = re.compile(pattern, re.MULTILINE)
        _limited(compiled)
    except (re.error, regex.error, RecursionError, OverflowError, ValueError) as error:
        raise InputError(f"{path}: 'pattern' is no regular expression: {error}") from None
    if "value" not in compiled.groupindex:
        raise InputError(f"{path}: 'pattern' must have a group (?P<value>...)")
    return compiled
