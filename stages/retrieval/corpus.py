"""A corpus file read where it lies, so that 21 million passages need no memory.

One pass over the file gives where each line starts; that is kept with an index, and a searcher then
reads just the passages that it returns.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stages.common.records import Passage, parse_json, passage_of
from stages.plumbing.errors import InputError
from stages.plumbing.reasons import reason

STARTS = "starts.npy"  # in an index folder
BLOCK = 1 << 20  # line starts looked at together
SAMPLE = 1024  # lines that tell one corpus from another


def line_starts(path: str | Path) -> np.ndarray:
    """Line starts of a JSON Lines file: int64, one more than lines, the last is its size.

    InputError if the file cannot be read or has no line.
    """
    starts = array("q", [0])
    try:
        with open(path, "rb") as file:
            for line in file:
                starts.append(starts[-1] + len(line))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if len(starts) == 1:
        raise InputError(f"{path}: holds no passage")
    return np.asarray(starts, dtype=np.int64)


def read_starts(path: str | Path) -> np.ndarray:
    """The line starts in a file, memory-mapped. InputError if they are no line starts."""
    try:
        starts = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as line starts ({reason(error)})") from None
    ascending = (
        isinstance(starts, np.memmap)
        and (starts.ndim, starts.dtype) == (1, np.int64)
        and len(starts) > 1
        and starts[0] == 0
        and all(
            (np.diff(starts[i : i + BLOCK + 1]) > 0).all() for i in range(0, len(starts), BLOCK)
        )
    )
    if not ascending:
        raise InputError(f"{path}: holds no line starts (numbers that ascend from 0)")
    return starts


class PassageFile:
    """Passages by position: `len(passages)`, `passages[7]`, `passages.between(0, 1000)`."""

    def __init__(self, path: str | Path, starts: np.ndarray):
        """`starts` as `scan` gives them for the same file. InputError if the size differs."""
        self.path = Path(path)
        self.starts = starts
        try:
            self._file = open(path, "rb")
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        if os.fstat(self._file.fileno()).st_size != int(starts[-1]):
            raise InputError(f"{path}: is not the corpus that was indexed (its size differs)")

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, position: int) -> Passage:
        return _parse(self.line(position), f"{self.path}:{position + 1}")

    def line(self, position: int) -> bytes:
        """The line of passage `position` as it stands in the file."""
        start, end = int(self.starts[position]), int(self.starts[position + 1])
        return os.pread(self._file.fileno(), end - start, start)

    def between(self, first: int, last: int) -> list[Passage]:
        """Passages `first` to `last`, the last one not included."""
        return [self[position] for position in range(first, min(last, len(self)))]

    def __iter__(self) -> Iterator[Passage]:
        return (self[position] for position in range(len(self)))


def sample_digest(passages: PassageFile) -> str:
    """Tells one corpus from another in a moment at any size: SHA-256 over the line starts and over
    SAMPLE lines spread evenly over the file.
    """
    total = hashlib.sha256(np.ascontiguousarray(passages.starts))
    positions = np.linspace(0, len(passages) - 1, min(SAMPLE, len(passages))).astype(int)
    for position in positions:
        total.update(passages.line(int(position)))
    return total.hexdigest()


def _parse(line: bytes, where: str) -> Passage:
    try:
        row = parse_json(line, where)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: not a JSON object on one line") from None
    if not isinstance(row, dict) or not {"id", "contents"} <= row.keys():
        raise InputError(f"{where}: expected an object with 'id' and 'contents'")
    return passage_of(row, where)
