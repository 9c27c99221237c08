"""Visits: which of the passages that a query showed the agent then used, as files have them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from stages.common.candidates import QueryCandidates, upto
from stages.common.fields import Fields
from stages.common.records import iter_jsonl
from stages.plumbing.errors import InputError


@dataclass(frozen=True)
class QueryVisits:
    """Passage ids of an intermediate query: `shown` to the agent, and of those `visits`, the ones
    that it used (None: nobody looked); `em` is that of the whole trajectory. `reasoning`: words of
    the thought after what the query showed, 0 without one (None: nobody looked). `rejected`: what
    it opened and did not use, to the judge (None: the judge was not asked). `elsewhere`: what it
    opened after this query, which only earlier ones had shown."""

    id: str
    em: int
    shown: list[str]
    visits: list[str] | None
    reasoning: int | None = None
    rejected: list[str] | None = None
    elsewhere: list[str] = field(default_factory=list)

    @property
    def trajectory(self) -> str:
        """The id of the trajectory whose query it is."""
        return self.id.rpartition("#")[0]

    @property
    def turn(self) -> int:
        """The query's turn in it, from 0."""
        return int(self.id.rpartition("#")[2])

    @property
    def trusted(self) -> list[str]:
        """The visits, if the trajectory ended at the right answer; else none."""
        return (self.visits or []) if self.em else []

    def row(self) -> dict:
        """As a file has it."""
        row = dict(vars(self))
        if self.reasoning is None:
            del row["reasoning"]
        if self.rejected is None:
            del row["rejected"]
        if not self.elsewhere:
            del row["elsewhere"]
        return row


class TogetherVisits(NamedTuple):
    """A query's visits, and those of all queries of its trajectory, in the order of its turns."""

    id: str
    own: QueryVisits
    trajectory: list[QueryVisits]


def iter_visits(path: str | Path) -> Iterator[QueryVisits]:
    """A file of visits, one query at a time. InputError names the line and key of what is wrong,
    also where the rows of a trajectory do not stand together, in the order of its turns.
    """
    seen: set[str] = set()  # trajectories
    last = None
    for where, row in iter_jsonl(path, ("id", "em", "shown", "visits")):
        read = Fields(row, where)
        looked = row["visits"] is not None
        found = QueryVisits(
            _query_id(read, where),
            read.integer("em", least=0, most=1),
            read.texts("shown"),
            read.texts("visits") if looked else None,
            read.integer("reasoning", least=0) if looked else None,
            read.texts("rejected", absent=True),
            read.texts("elsewhere", absent=True) or [],
        )
        if last is not None and found.trajectory == last.trajectory:
            ordered = last.turn < found.turn
        else:
            ordered = found.trajectory not in seen
        if not ordered:
            raise InputError(
                f"{where}: '{found.id}' stands apart from the other queries of its trajectory or "
                "not in the order of its turns: make the file anew with the stage visits"
            )
        seen.add(found.trajectory)
        yield found
        last = found


def _query_id(read: Fields, where: str) -> str:
    found = str(read.identifier("id"))
    if not re.fullmatch(r".+#[0-9]+", found, re.DOTALL):
        raise InputError(f"{where}: 'id' must be TRAJECTORY#TURN, found {found!r}")
    return found


def with_visits(
    rows: Iterable[tuple[QueryCandidates, ...]], path: str | Path
) -> Iterator[tuple[tuple[QueryCandidates, ...], TogetherVisits]]:
    """Rows that begin with a query, each with what the file `path` has of it and of its
    trajectory; see `upto`. One trajectory is held at a time.
    """
    trajectories = (list(rows) for _, rows in groupby(iter_visits(path), lambda v: v.trajectory))
    told = (TogetherVisits(each.id, each, whole) for whole in trajectories for each in whole)
    for row in rows:
        yield row, upto(row[0].id, told, path)
    deque(told, maxlen=0)  # what is wrong in the rest is an error too
