"""What an (agent, retriever) pair measured, as `evaluate` writes and others read it: figures by
question set (metrics/evaluate/NAME.json)."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

ByDepth = dict[str, float | None]  # k of recall@k -> share; None where there was nothing to find
TITLES = "titles"  # `support`: known by the title of passages


@dataclass(frozen=True)
class SetResult:
    """The figures of one question set; EM, F1 and shares from 0 to 1, `_low` and `_high` the ends
    of 95 % intervals.

    `recall`, `first_query_recall` and `found` are of hops (stages/evaluation/recall.py), title
    recall where `support` says so; `answer_recall` and `answer_found` of questions
    (stages/evaluation/bearing.py), None in files of version 0.1.0.
    """

    questions: int
    em: float
    em_low: float
    em_high: float
    f1: float
    f1_low: float
    f1_high: float
    searches: float
    searches_low: float
    searches_high: float
    unanswered: float
    recall: ByDepth
    first_query_recall: ByDepth
    found: float | None
    answer_recall: ByDepth | None = None
    answer_found: float | None = None
    support: str | None = None

    @classmethod
    def of(cls, row: dict) -> SetResult:
        """From a checked row of a file; what else it holds is not read."""
        return cls(**{key.name: row[key.name] for key in fields(cls) if key.name in row})

    def row(self) -> dict:
        """As a file has it."""
        row = dict(vars(self))
        if self.answer_recall is None:
            del row["answer_recall"], row["answer_found"]
        if self.support is None:
            del row["support"]
        return row

    def ends(self, measure: str) -> tuple[float, float]:
        """The interval of `em`, `f1` or `searches`."""
        return getattr(self, f"{measure}_low"), getattr(self, f"{measure}_high")


@dataclass(frozen=True)
class Evaluation:
    """A pair on every question set; `development` is empty where there are no such sets."""

    agent: str
    retriever: str
    sets: dict[str, SetResult]
    development: dict[str, SetResult] = field(default_factory=dict)

    @classmethod
    def of(cls, row: dict) -> Evaluation:
        """From a checked file."""
        return cls(
            row["agent"],
            row["retriever"],
            {name: SetResult.of(part) for name, part in row["sets"].items()},
            {name: SetResult.of(part) for name, part in row.get("development", {}).items()},
        )

    def row(self) -> dict:
        """As a file has it."""
        row: dict = {"agent": self.agent, "retriever": self.retriever, "sets": _rows(self.sets)}
        return row | ({"development": _rows(self.development)} if self.development else {})

    def mean(self, measure: str) -> float:
        """A figure averaged over question sets, each set weighing the same."""
        return _mean(self.sets, measure)

    def decided(self, measure: str) -> float:
        """The same over the sets that decisions look at: the development sets, if any."""
        return _mean(self.development or self.sets, measure)


def _rows(sets: dict[str, SetResult]) -> dict[str, dict]:
    return {name: part.row() for name, part in sets.items()}


def _mean(sets: dict[str, SetResult], measure: str) -> float:
    return sum(getattr(part, measure) for part in sets.values()) / len(sets)
