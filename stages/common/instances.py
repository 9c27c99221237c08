"""Training instances of the retriever, as `pairs` writes and `retriever` reads them (step B6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stages.common.candidates import request_of
from stages.common.fields import Fields
from stages.common.records import Passage, check_new, iter_jsonl
from stages.common.search import SearchRequest
from stages.plumbing.errors import InputError

TIERS = ("redundancy", "hard", "weak")  # of negatives: see stages/selection/tiers.py


@dataclass(frozen=True)
class LabelledPassage:
    """A passage, `text` being its contents; LR and GAC of a positive, None where one was off; the
    tier of a negative, None where negatives have none.
    """

    id: str
    text: str
    lr: int | None = None
    gac: int | None = None
    tier: str | None = None

    @classmethod
    def of(
        cls,
        passage: Passage,
        *,
        lr: int | None = None,
        gac: int | None = None,
        tier: str | None = None,
    ) -> LabelledPassage:
        """A passage of the corpus with its labels."""
        return cls(passage.id, passage.contents, lr, gac, tier)

    def as_positive(self) -> dict:
        """As a file has a positive."""
        return {"id": self.id, "text": self.text, "lr": self.lr, "gac": self.gac}

    def as_negative(self) -> dict:
        """As a file has a negative."""
        row = {"id": self.id, "text": self.text}
        return row if self.tier is None else row | {"tier": self.tier}


@dataclass(frozen=True)
class Instance:
    """A query, one positive, its negatives, and the ids of the query's other positives.

    `reasoning`: how much the agent wrote about the positive after it had used it, in words; None
    where the positive was not found so.
    """

    id: str
    request: SearchRequest
    positive: LabelledPassage
    negatives: list[LabelledPassage]
    siblings: list[str]
    reasoning: int | None = None

    @property
    def query_id(self) -> str:
        """The query that the instance is one of."""
        return self.id.rpartition("/")[0]

    def row(self) -> dict:
        """As a file has it."""
        asked = self.request
        row = {
            "id": self.id,
            "question": asked.question,
            "query": asked.query,
            "history": list(asked.history),
            "thought": asked.thought,
            "positive": self.positive.as_positive(),
            "negatives": [each.as_negative() for each in self.negatives],
            "siblings": self.siblings,
        }
        return row if self.reasoning is None else row | {"reasoning": self.reasoning}


def iter_instances(path: str | Path) -> Iterator[tuple[str, Instance]]:
    """(`file:line`, instance) of a file. InputError for a malformed line, and a file of none."""
    seen: set[str] = set()
    for where, row in iter_jsonl(path):
        read = Fields(row, where)
        positive = read.object("positive")
        instance = Instance(
            str(read.identifier("id")),
            request_of(read),
            LabelledPassage(
                str(positive.identifier("id")),
                positive.text("text"),
                positive.integer("lr", none=True, absent=True),
                positive.integer("gac", none=True, absent=True),
            ),
            [
                LabelledPassage(
                    str(each.identifier("id")), each.text("text"), tier=_tier_of(each, where)
                )
                for each in read.objects("negatives")
            ],
            read.texts("siblings"),
            read.integer("reasoning", least=0, none=True, absent=True),
        )
        check_new(instance.id, seen, where)
        yield where, instance
    if not seen:
        raise InputError(f"{path}: holds no training instance: see the counts in metrics/pairs")


def _tier_of(read: Fields, where: str) -> str | None:
    tier = read.text("tier", absent=True)
    if tier is not None and tier not in TIERS:
        raise InputError(f"{where}: '{read.way}tier' must be one of {', '.join(TIERS)}: {tier!r}")
    return tier
