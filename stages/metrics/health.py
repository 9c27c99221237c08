"""The health of an iteration, as stages/health.py writes it and others read it
(metrics/health/K.json)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Signature:
    """A figure, the limit it must keep to, and whether it `shows`: the limit is broken. `value` is
    None where there is nothing to compare and, if it shows, where the figure is missing or no
    finite number."""

    name: str
    value: float | None
    least: float | None
    most: float | None
    meaning: str
    shows: bool

    @property
    def sentence(self) -> str:
        """What shows, for people."""
        if self.value is None:
            return f"{self.meaning}, perhaps: {self.name} is missing or no finite number"
        limit = f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"
        return f"{self.meaning}: {self.name} is {self.value:.4g}, the limit is {limit}"


@dataclass(frozen=True)
class IterationHealth:
    """The figures that signatures look at, by name, every signature, and a sentence (`shown`) for
    each that shows."""

    values: dict[str, float | None]
    signatures: list[Signature]
    shown: list[str]

    @classmethod
    def of(cls, row: dict) -> IterationHealth:
        """From a checked file; what else it holds is not read."""
        names = [key.name for key in fields(Signature)]
        found = [Signature(**{name: each[name] for name in names}) for each in row["signatures"]]
        return cls(row["values"], found, row["shown"])

    def row(self) -> dict:
        """As a file has it."""
        return asdict(self)
