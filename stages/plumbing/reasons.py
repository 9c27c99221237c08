"""Errors of other libraries as one line."""

from __future__ import annotations


def reason(error: BaseException) -> str:
    """The first line of what `error` says, or, where it says nothing, its kind.

    >>> reason(ValueError("too long\\nhere"))
    'too long'
    >>> reason(RuntimeError())
    'RuntimeError'
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
