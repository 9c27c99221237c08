"""Errors of other libraries as one line."""

from __future__ import annotations

import re

# A first line that only announces: pydantic's, and any that ends in a colon.
ANNOUNCES = re.compile(r"\d+ validation errors? for .*|.*:")
PLACE = re.compile(r" \[type=.*\]$")  # of pydantic, after the reason


def reason(error: BaseException) -> str:
    """The first line of what `error` says, with the next where the first only announces it; where
    it says nothing, its kind.

    >>> reason(ValueError("too long\\nhere"))
    'too long'
    >>> reason(ValueError("1 validation error for M\\n  Value error, no layer [type=x, y]"))
    '1 validation error for M: Value error, no layer'
    >>> reason(RuntimeError())
    'RuntimeError'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if len(lines) > 1 and ANNOUNCES.fullmatch(lines[0]):
        # pydantic names the field on a line of its own, unless the whole object is meant
        rest = lines[1] if PLACE.search(lines[1]) or len(lines) == 2 else " ".join(lines[1:3])
        return f"{lines[0].rstrip(':')}: {PLACE.sub('', rest)}"
    return lines[0]
