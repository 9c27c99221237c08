"""Check one value of a metrics file. A wrong value raises `Wrong`."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

LARGEST = 1e30  # of any number: means and sums of such still are finite
MOST = 10**15  # of any count
DEPTH = 8  # of objects within objects


class Wrong(Exception):
    """A value that the schema does not allow: what is wrong, the key in it."""


@dataclass(frozen=True)
class Number:
    """A finite number from `low` to `high`; `whole`: an integer; `null`: or none."""

    low: float = -LARGEST
    high: float = LARGEST
    whole: bool = False
    null: bool = False

    def check(self, value: object, key: str, partial: bool) -> None:
        if value is None and self.null:
            return
        wanted = "a whole number" if self.whole else "a number"
        if type(value) not in ((int,) if self.whole and _is_finite(value) else (int, float)):
            raise Wrong(f"'{key}' must be {wanted}, found {_kind(value)}")
        if not _is_finite(value):
            raise Wrong(f"'{key}' is {value}, which is no finite number")
        if not self.low <= value <= self.high:
            found = f", found {value:.6g}" if abs(value) <= LARGEST else ""
            raise Wrong(f"'{key}' must be {wanted} from {self.low:g} to {self.high:g}{found}")


@dataclass(frozen=True)
class Text:
    """A text that can be shown: not empty, no control or formatting characters."""

    null: bool = False

    def check(self, value: object, key: str, partial: bool) -> None:
        if value is None and self.null:
            return
        if not isinstance(value, str):
            raise Wrong(f"'{key}' must be a text, found {_kind(value)}")
        if not value.strip() or hidden(value):
            raise Wrong(f"'{key}' is empty or holds characters that cannot be shown")


@dataclass(frozen=True)
class Truth:
    """True or false."""

    def check(self, value: object, key: str, partial: bool) -> None:
        if type(value) is not bool:
            raise Wrong(f"'{key}' must be true or false, found {_kind(value)}")


@dataclass(frozen=True)
class Each:
    """An object of any names, at least `least`, whose values are all of one kind."""

    value: object
    least: int = 0
    names: Callable[[str], bool] | None = None  # which names it takes

    def check(self, value: object, key: str, partial: bool) -> None:
        _object(value, key)
        if len(value) < self.least and not partial:
            raise Wrong(f"'{key}' is empty")
        for name, part in value.items():
            if self.names and not self.names(name):
                raise Wrong(f"'{key}' has a key that does not belong there: {name[:40]!a}")
            self.value.check(part, _join(key, name), partial)


@dataclass(frozen=True)
class Several:
    """A list whose values are all of one kind."""

    value: object

    def check(self, value: object, key: str, partial: bool) -> None:
        if not isinstance(value, list):
            raise Wrong(f"'{key}' must be a list, found {_kind(value)}")
        for number, part in enumerate(value):
            self.value.check(part, f"{key}[{number}]", partial)


@dataclass(frozen=True)
class Free:
    """What no reader asks for by name: a number, a text, a truth, none, or an object of such."""

    depth: int = DEPTH

    def check(self, value: object, key: str, partial: bool) -> None:
        if value is None or isinstance(value, bool):
            return
        if isinstance(value, int | float):
            Number().check(value, key, partial)
        elif isinstance(value, str):
            if _unwritable(value):
                raise Wrong(f"'{key}' holds half a surrogate pair")
        elif isinstance(value, dict) and self.depth:
            _object(value, key)
            for name, part in value.items():
                Free(self.depth - 1).check(part, _join(key, name), partial)
        else:
            raise Wrong(f"'{key}' must be a number, a text or an object, found {_kind(value)}")


@dataclass(frozen=True)
class Object:
    """An object with these keys. `optional` ones may be missing; others may be there, and are Free.

    `balance` looks at the object as a whole: it returns what does not add up, or None.
    """

    fields: dict[str, object]
    optional: dict[str, object] = field(default_factory=dict)
    balance: Callable[[dict], str | None] | None = None

    def check(self, value: object, key: str, partial: bool) -> None:
        _object(value, key)
        known = self.fields | self.optional
        if not partial:
            for name in self.fields:
                if name not in value:
                    raise Wrong(f"the key '{_join(key, name)}' is missing")
        for name, part in value.items():
            known.get(name, Free()).check(part, _join(key, name), partial)
        if self.balance and not partial and (found := self.balance(value)):
            raise Wrong(f"'{key}': {found}" if key else found)


def hidden(text: str) -> bool:
    """Whether a text holds control, formatting (bidirectional overrides) or broken characters."""
    return any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text)


def _is_finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _object(value: object, key: str) -> None:
    if not isinstance(value, dict):
        what = f"'{key}'" if key else "the file"
        raise Wrong(f"{what} must be an object, found {_kind(value)}")
    for name in value:
        if not name.strip() or hidden(name):
            raise Wrong(f"a key in {key or 'it'} is empty or cannot be shown: {name[:40]!a}")


def _unwritable(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in text)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _kind(value: object) -> str:
    return "nothing (null)" if value is None else f"a value of the kind {type(value).__name__}"
