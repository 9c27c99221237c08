"""Read checked values from one row of a file. An error names the line and the key."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stages.plumbing.errors import InputError


@dataclass(frozen=True)
class Fields:
    """The values of `row`; `where` (`file:line`) and the way to the row open every InputError.

    `none`: null is allowed, and given back as None. `absent`: the key may be missing, which gives
    None as well.
    """

    row: dict
    where: str
    way: str = ""

    def text(self, key: str, *, none: bool = False, absent: bool = False) -> str | None:
        """A text."""
        value = self._value(key, absent)
        if value is None and (none or absent):
            return None
        return self._of(key, value, isinstance(value, str), "a text")

    def truth(self, key: str, *, absent: bool = False) -> bool | None:
        """True or false."""
        value = self._value(key, absent)
        if value is None and absent:
            return None
        return self._of(key, value, isinstance(value, bool), "true or false")

    def identifier(self, key: str) -> str | int:
        """A text that is not empty, or an integer."""
        value = self._value(key)
        good = type(value) is int or (isinstance(value, str) and value != "")
        return self._of(key, value, good, "a text or an integer")

    def integer(
        self,
        key: str,
        *,
        least: int | None = None,
        most: int | None = None,
        none: bool = False,
        absent: bool = False,
    ) -> int | None:
        """An integer from `least` to `most`."""
        value = self._value(key, absent)
        if value is None and (none or absent):
            return None
        self._of(key, value, type(value) is int, "an integer")
        return self._within(key, value, least, most)

    def number(
        self,
        key: str,
        *,
        least: float | None = None,
        most: float | None = None,
        none: bool = False,
    ) -> float | None:
        """A finite number from `least` to `most`, as it was written: 1 stays an integer."""
        value = self._value(key)
        if value is None and none:
            return None
        good = type(value) in (int, float) and math.isfinite(value)
        self._of(key, value, good, "a finite number")
        return self._within(key, value, least, most)

    def texts(self, key: str, *, absent: bool = False) -> list[str] | None:
        """A list of texts."""
        return self._list(key, lambda item: isinstance(item, str), "texts", absent)

    def integers(self, key: str) -> list[int]:
        """A list of integers."""
        return self._list(key, lambda item: type(item) is int, "integers")

    def lists_of_texts(self, key: str, *, absent: bool = False) -> list[list[str]] | None:
        """A list of lists of texts."""

        def good(item: object) -> bool:
            return isinstance(item, list) and all(isinstance(text, str) for text in item)

        return self._list(key, good, "lists of texts", absent)

    def objects(self, key: str) -> list[Fields]:
        """The fields of each object in a list."""
        rows = self._list(key, lambda item: isinstance(item, dict), "objects")
        return [Fields(row, self.where, f"{self._at(key)}[{n}].") for n, row in enumerate(rows)]

    def object(self, key: str) -> Fields:
        """The fields of an object."""
        value = self._value(key)
        self._of(key, value, isinstance(value, dict), "an object")
        return Fields(value, self.where, f"{self._at(key)}.")

    def grades(self, key: str, least: int, most: int) -> dict[str, int] | None:
        """An object of integers from `least` to `most`, or null."""
        value = self._value(key)
        if value is None:
            return None
        self._of(key, value, isinstance(value, dict), "an object or null")
        inner = Fields(value, self.where, f"{self._at(key)}.")
        return {name: inner.integer(name, least=least, most=most) for name in value}

    def _value(self, key: str, absent: bool = False) -> object:
        if key not in self.row and not absent:
            raise InputError(f"{self.where}: the key '{self._at(key)}' is missing")
        return self.row.get(key)

    def _at(self, key: str) -> str:
        return f"{self.way}{key}"

    def _of(self, key: str, value: object, good: bool, kind: str):
        if not good:
            found = "null" if value is None else type(value).__name__
            raise InputError(f"{self.where}: '{self._at(key)}' must be {kind}, found {found}")
        return value

    def _within(self, key: str, value, least, most):
        if (least is not None and value < least) or (most is not None and value > most):
            bounds = f"from {least}" + ("" if most is None else f" to {most}")
            raise InputError(f"{self.where}: '{self._at(key)}' must be {bounds}, found {value}")
        return value

    def _list(self, key: str, good, kind: str, absent: bool = False) -> list | None:
        value = self._value(key, absent)
        if value is None and absent:
            return None
        whole = isinstance(value, list) and all(map(good, value))
        return self._of(key, value, whole, f"a list of {kind}")
