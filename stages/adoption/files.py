"""Files of logs: JSON Lines or one JSON array, gzipped or not, from any program."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from stages.common.records import MARK, iter_jsonl, parse_json, read_json
from stages.plumbing.errors import InputError


def log_rows(path: Path) -> Iterator[tuple[str, dict]]:
    """Yield (`file:line` or `file: item N`, row). InputError names the first that is no object.

    A byte order mark may open the file, and blanks an array.
    """
    if not _is_array(path):
        yield from iter_jsonl(path, (), outside=True)
        return
    for number, row in enumerate(_array(path), 1):
        where = f"{path}: item {number}"
        if not isinstance(row, dict):
            raise InputError(f"{where}: expected a JSON object, found {type(row).__name__}")
        yield where, row


def _is_array(path: Path) -> bool:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", errors="replace") as file:
            return file.read(1000).lstrip()[:1] == "["
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return False  # whoever reads it says so
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _array(path: Path) -> list:
    if path.suffix != ".gz":
        return read_json(path)
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return parse_json(file.read().removeprefix(MARK), str(path))
    except UnicodeDecodeError:
        raise InputError(f"{path}: not valid UTF-8") from None
    except (OSError, EOFError, zlib.error):
        raise InputError(f"{path}: the gzip file is broken") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not valid JSON") from None
