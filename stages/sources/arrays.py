"""Rows of other programs' files: JSON Lines or one JSON array, gzipped or not."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

from stages.common.records import MARK, invalid_json, iter_jsonl, may_repeat_keys, parse_json
from stages.plumbing.errors import InputError


def outside_rows(path: Path) -> Iterator[tuple[str, dict]]:
    """(`file:line`, row) of JSON Lines, or (`file: item N`, row) of an array.

    InputError names the line or item that is no object, or a key that stands twice in one.
    """
    if not is_array(path):
        yield from iter_jsonl(path, (), outside=True)
        return
    for number, row in enumerate(_array(path), 1):
        where = f"{path}: item {number}"
        if not isinstance(row, dict):
            raise InputError(f"{where}: expected an object, found {type(row).__name__}")
        yield where, row


def is_array(path: Path) -> bool:
    """Whether the text of a file opens a JSON array, whatever the file is called."""
    return _bytes(path, 1000).decode("utf-8-sig", errors="replace").lstrip()[:1] == "["


def _array(path: Path) -> list:
    def once(pairs: list[tuple[str, object]]) -> dict:
        row: dict[str, object] = {}
        for key, value in pairs:
            if key in row:
                begun = json.dumps(row, ensure_ascii=False)[:60]
                raise InputError(f"{path}: the key '{key}' occurs twice in the object {begun} ...")
            row[key] = value
        return row

    try:
        text = _bytes(path).decode("utf-8").removeprefix(MARK)
        rows = parse_json(text, str(path))
        if may_repeat_keys(rows, text):
            json.loads(text, object_pairs_hook=once)
    except UnicodeDecodeError:
        raise InputError(f"{path}: not valid UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise invalid_json(path, error) from None
    return rows


def _bytes(path: Path, size: int = -1) -> bytes:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            return file.read(size)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputError(f"{path}: the gzip file is broken") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
