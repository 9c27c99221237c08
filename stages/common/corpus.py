"""Passages of the corpus by id, read where they lie: of each that is wanted, its place is kept."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from stages.common.records import Passage, iter_jsonl, parse_json, passage_of
from stages.plumbing.errors import InputError


class WantedPassages:
    """The passages of a corpus file whose ids are `wanted`: `passages["7"]`, read anew each time.

    One pass over the file finds them. InputError for a malformed line or a compressed file, and if
    one is not there. A Passage takes a thousand bytes, and its place a tenth of that.
    """

    def __init__(self, path: str | Path, wanted: Collection[str]):
        self.path = Path(path)
        if self.path.suffix == ".gz":
            raise InputError(f"{path}: compressed: the stage `corpus` writes it out")
        self._places: dict[str, tuple[int, int]] = {}  # where a line starts, and where it ends
        place = 0
        with _opened(self.path) as lines:
            for (where, row), line in zip(iter_jsonl(path, ("id", "contents")), lines, strict=True):
                start, place = place, place + len(line)
                if (identifier := str(row["id"])) in wanted:
                    passage_of(row, where)  # what is malformed is said here, with its line
                    self._places[identifier] = start, place
        for identifier in sorted(set(wanted) - self._places.keys()):
            raise InputError(f"{path}: has no passage '{identifier}' that a query has as candidate")
        self._file = _opened(self.path)

    def __getitem__(self, identifier: str) -> Passage:
        start, end = self._places[identifier]
        line = os.pread(self._file.fileno(), end - start, start)
        return passage_of(parse_json(line, str(self.path)), str(self.path))

    def __len__(self) -> int:
        return len(self._places)


def _opened(path: Path):
    try:
        return open(path, "rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
