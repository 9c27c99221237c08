"""Values that were written as text, into a cell of a table or a field: by JSON, Python or numpy."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from contextlib import suppress

from stages.plumbing.errors import InputError

_ARRAY = re.compile(r"array\(\s*(\[[^\[\]]*\])\s*(?:,\s*dtype=[^()]*)?\)")
# What opens a list of texts; "(1, 2)", "[REC]" and "{x}" are texts themselves.
_OPENS = re.compile(r"""array\(|[\[({]\s*['"]""")
_CLOSING = {"[": "]", "(": ")", "{": "}"}


def value_of(text: str) -> object:
    """What a text writes, as JSON or as Python, arrays of numpy as lists. None if it is neither."""
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return ast.literal_eval(_ARRAY.sub(r"\1", text.strip()))
    return None


def texts_of(cell: str, where: str) -> list:
    """The texts in a cell: of a list, a tuple, a set or an array, or the cell itself.

    InputError for a cell that opens such a list and is none: it was cut, or is something else.
    """
    text = cell.strip()
    if array := _ARRAY.fullmatch(text):
        text = array[1]
    if text.startswith("["):
        with suppress(ValueError, RecursionError):
            if isinstance(value := json.loads(text, parse_int=str, parse_float=str), list):
                return value
    opens = _OPENS.match(text)
    if (opens or text.startswith("[")) and (values := _literals(text)) is not None:
        return values
    if opens:
        raise InputError(f"{where}: {text[:40]!r} opens a list of answers and is none")
    return [cell]


def _literals(text: str) -> list[str] | None:
    """The texts and numbers of a list, tuple or set as Python writes it, or numpy, with no comma
    between them (Python itself would join those). None if it is no such list."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        words = [token for token in tokens if token.type in (tokenize.STRING, tokenize.NUMBER)]
        marks = [token.string for token in tokens if token not in words and token.string.strip()]
        if marks[1:][-1:] != [_CLOSING.get(marks[0])] or set(marks[1:-1]) - {","}:
            return None
        return [
            str(ast.literal_eval(token.string)) if token.type == tokenize.STRING else token.string
            for token in words
        ]
    except (tokenize.TokenError, SyntaxError, ValueError, IndexError):
        return None
