"""Visits: which of the passages that a query showed the agent then used, as files have them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stages.common.candidates import QueryCandidates, upto
from stages.common.fields import Fields
from stages.common.records import check_new, iter_jsonl


@dataclass(frozen=True)
class QueryVisits:
    """Passage ids of an intermediate query: `shown` to the agent, and of those `visits`, the ones
    that it used (None: nobody looked); `em` is that of the whole trajectory."""

    id: str
    em: int
    shown: list[str]
    visits: list[str] | None

    @property
    def trusted(self) -> list[str]:
        """The visits, if the trajectory ended at the right answer; else none."""
        return (self.visits or []) if self.em else []

    def row(self) -> dict:
        """As a file has it."""
        return dict(vars(self))


def iter_visits(path: str | Path) -> Iterator[QueryVisits]:
    """A file of visits, one query at a time. InputError names the line and key of what is wrong."""
    seen: set[str] = set()
    for where, row in iter_jsonl(path, ("id", "em", "shown", "visits")):
        read = Fields(row, where)
        found = QueryVisits(
            str(read.identifier("id")),
            read.integer("em", least=0, most=1),
            read.texts("shown"),
            None if row["visits"] is None else read.texts("visits"),
        )
        check_new(found.id, seen, where)
        yield found


def with_visits(
    rows: Iterable[tuple[QueryCandidates, ...]], path: str | Path
) -> Iterator[tuple[tuple[QueryCandidates, ...], QueryVisits]]:
    """Rows that begin with a query, each with its line of the file `path`; see `upto`."""
    told = iter_visits(path)
    for row in rows:
        yield row, upto(row[0].id, told, path)
    deque(told, maxlen=0)  # what is wrong in the rest is an error too
