"""The rows of a file of logs, and what to do about a file that holds none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from stages.plumbing.errors import InputError
from stages.sources.arrays import outside_rows

# How files begin that are no text, and what to do about them.
_BINARY = {
    b"PAR1": "this is parquet: `pandas.read_parquet('{path}').to_json('NEW.jsonl', "
    "orient='records', lines=True)` makes JSON Lines of it",
    b"\x1f\x8b": "this is gzipped: give it a name that ends in .gz",
    b"\x28\xb5\x2f\xfd": "this is compressed by zstd: `zstd -d` unpacks it",
}


def log_rows(path: Path) -> Iterator[tuple[str, dict]]:
    """(`file:line`, row) or (`file: item N`, row) of a file. InputError where it holds no log."""
    _check_text(path)
    empty = True
    for where, row in outside_rows(path):
        empty = False
        yield where, row
    if empty:
        raise InputError(f"{path}: holds no log")


def _check_text(path: Path) -> None:
    """InputError for a file in a known form that is no text."""
    begun = b""
    with suppress(OSError), open(path, "rb") as file:  # the reader of text says it
        begun = file.read(4)
    for mark, todo in _BINARY.items():
        if begun.startswith(mark) and path.suffix != ".gz":
            raise InputError(f"{path}: {todo.format(path=path)}")
