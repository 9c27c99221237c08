"""Values as a file writes them beside those that were read: YAML changes some without a word.

`0123456`, `12e4567` and `no` are no texts to YAML, and a revision or the name of a set would be
another one. `010` and `1:30` are 8 and 90 here and 10 and a text to DVC, which reads YAML 1.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

import yaml

MERGE = ("tag:yaml.org,2002:merge", re.compile(r"<<$"))
OCTAL = re.compile(r"[-+]?0[0-7_]+")
BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")


class _AsWritten(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Reads every value as the text that stands there; of what the stricter parser has taken."""

    yaml_implicit_resolvers: ClassVar = {"<": [MERGE]}


def written_faults(text: str, given: dict, read: dict) -> Iterator[tuple[str, str]]:
    """(key, what is wrong) of values in the YAML `text`: `given` has them as YAML reads them,
    `read` as the parameters do."""
    return _faults(yaml.load(text, _AsWritten), given, read, "")


def _faults(raw: object, given: object, read: object, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(given, dict):
        prefix = f"{key}." if key else ""
        for name, value in given.items():
            below = raw.get(str(name)) if isinstance(raw, dict) else None
            yield from _faults(below, value, read.get(name), f"{prefix}{name}")
    elif isinstance(given, list):
        texts = raw if isinstance(raw, list) else [None] * len(given)
        for number, (below, value, item) in enumerate(zip(texts, given, read)):
            place = f"{key}[{number}]"
            if isinstance(value, dict | list):
                yield place, "must be one value; a text with a colon must stand in quotes"
            else:
                yield from _faults(below, value, item, place)
    elif fault := _fault(raw, given, read):
        yield key, fault


def _fault(raw: object, given: object, read: object) -> str | None:
    """What is wrong with one value, if anything is."""
    if given == "???":  # OmegaConf's sign for a value to come: the default would stand in for it
        return "has no value"
    if isinstance(read, bool) and type(given) in (int, float):
        return "must be true or false"
    if not isinstance(raw, str) or not isinstance(given, bool | int | float):
        return None
    if isinstance(read, str) and read != raw:
        return f"YAML reads {raw} as {given}: put the text in quotes"
    octal = OCTAL.fullmatch(raw) and int(raw.replace("_", "")) != given
    if octal or BASE_60.fullmatch(raw):
        return f"{raw} is {given} to some readers of YAML and not to others: write plain digits"
    return None
