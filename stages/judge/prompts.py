"""Prompts of the judge: files with the pattern that reads the reply beside the text.

A prompt file is YAML with the keys

    template    the text, with the fields that its step fills in, as in `{query}`
    pattern     a regular expression for one item of the reply: a group `value`, and a group
                `label` where items are labelled. Without labels the items are read in order.
    item        one line of a numbered list in the prompt, of `{label}`, `{title}` and `{text}`
                (default `[{label}] {text}` and a line break)
    missing     what stands where there is nothing to say: no reference, or, in a reply, no
                sub-answer (default `none`)
    chat        true: the prompt is one user message through the judge's chat template
    stop        texts that end the reply, for judges that would write on (default none)

so that another judge is another file and no code.
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter

import yaml

from stages.plumbing.errors import InputError

KEYS = {
    "template": (str, None),
    "pattern": (str, None),
    "item": (str, "[{label}] {text}\n"),
    "missing": (str, "none"),
    "chat": (bool, False),
    "stop": (list, []),
}
ITEM_FIELDS = {"label", "title", "text"}


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

    @classmethod
    def load(cls, path: str | Path, *fields: str) -> Prompt:
        """Read a prompt file whose template has exactly these `fields`.

        InputError names the file and the key that is missing, unknown or wrong.
        """
        values = _read(path)
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

    def parse(self, reply: str, count: int) -> list[str]:
        """The values that a reply gives to items 1..count, in the items' order.

        MalformedReply if a label is missing, occurs twice or is out of range, or if an
        unlabelled reply does not have `count` values.
        """
        found = list(self.pattern.finditer(reply))
        if "label" not in self.pattern.groupindex:
            if len(found) != count:
                raise MalformedReply("missing_values" if len(found) < count else "extra_values")
            return [match["value"] for match in found]
        values = {}
        for match in found:
            label = as_integer(match["label"])
            if not 1 <= label <= count:
                raise MalformedReply("extra_labels")
            if label in values:
                raise MalformedReply("duplicate_labels")
            values[label] = match["value"]
        if len(values) < count:
            raise MalformedReply("missing_labels")
        return [values[label] for label in range(1, count + 1)]


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())


def as_integer(text: str) -> int:
    """The integer that `text` writes in ASCII digits. MalformedReply if it writes none."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise MalformedReply("not_an_integer")
    return int(text)


def _read(path: str | Path) -> dict:
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML") from None
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
    except re.error as error:
        raise InputError(f"{path}: 'pattern' is no regular expression: {error}") from None
    if "value" not in compiled.groupindex:
        raise InputError(f"{path}: 'pattern' must have a group (?P<value>...)")
    return compiled
