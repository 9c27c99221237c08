"""Passages of the corpus by id, read where they lie: of each that is wanted, its place is kept."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from stages.common.records import Passage, iter_jsonl, line_spans, passage_of, row_at
from stages.plumbing.errors import InputError


class WantedPassages:
    """The passages of a corpus file whose ids are `wanted`: `passages["7"]`, read anew each time.

    One pass over the file finds them. InputError for a malformed line or a compressed file, and if
    one is not there. A passage takes a thousand bytes, and its place a tenth of that.
    """

    def __init__(self, path: str | Path, wanted: Collection[str]):
        if Path(path).suffix == ".gz":
            raise InputError(f"{path}: compressed: the stage `corpus` writes it out")
        self.path = path
        self._spans: dict[str, tuple[int, int]] = {}
        rows = iter_jsonl(path, ("id", "contents"))
        for (where, row), span in zip(rows, line_spans(path), strict=True):
            if (identifier := str(row["id"])) in wanted:
                passage_of(row, where)  # what is malformed is said here, with its line
                self._spans[identifier] = span
        for identifier in sorted(set(wanted) - self._spans.keys()):
            raise InputError(f"{path}: has no passage '{identifier}' that a query has as candidate")

    def __getitem__(self, identifier: str) -> Passage:
        return passage_of(row_at(self.path, self._spans[identifier]), str(self.path))

    def __len__(self) -> int:
        return len(self._spans)
