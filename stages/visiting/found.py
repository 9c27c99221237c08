"""What was found of a query's visits, and how: what workers give, and a save point keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from stages.common.visits import QueryVisits


@dataclass(frozen=True)
class FoundVisits:
    """A query's visits. `why` it has none, where it has none; `asked`: how often the judge was,
    with its `retries` and the rows of its `failed` replies; `again`: see OpenedQuery."""

    visits: QueryVisits
    why: str
    asked: int
    retries: int = 0
    failed: list[dict] = field(default_factory=list)
    again: int = 0

    @classmethod
    def of(cls, row: dict) -> FoundVisits:
        """From a row of `row`."""
        return cls(**row | {"visits": QueryVisits(**row["visits"])})

    def row(self) -> dict:
        """As a save point has it."""
        return asdict(self)
