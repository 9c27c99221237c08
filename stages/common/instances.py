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


@dataclass(frozen=True)
class LabelledPassage:
    """A passage, `text` being its contents; LR and GAC of a positive, None where one was off."""

    id: str
    text: str
    lr: int | None = None
    gac: int | None = None

    @classmethod
    def of(
        cls, passage: Passage, *, lr: int | None = None, gac: int | None = None
    ) -> LabelledPassage:
        """A passage of the corpus with its labels."""
        return cls(passage.id, passage.contents, lr, gac)


@dataclass(frozen=True)
class Instance:
    """A query, one positive, its negatives, and the ids of the query's other positives."""

    id: str
    request: SearchRequest
    positive: LabelledPassage
    negatives: list[LabelledPassage]
    siblings: list[str]

    @property
    def query_id(self) -> str:
        """The query that the instance is one of."""
        return self.id.rpartition("/")[0]

    def row(self) -> dict:
        """As a file has it."""
        asked = self.request
        return {
            "id": self.id,
            "question": asked.question,
            "query": asked.query,
            "history": list(asked.history),
            "thought": asked.thought,
            "positive": vars(self.positive),
            "negatives": [{"id": each.id, "text": each.text} for each in self.negatives],
            "siblings": self.siblings,
        }


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
                LabelledPassage(str(each.identifier("id")), each.text("text"))
                for each in read.objects("negatives")
            ],
            read.texts("siblings"),
        )
        check_new(instance.id, seen, where)
        yield where, instance
    if not seen:
        raise InputError(f"{path}: holds no training instance: see the counts in metrics/pairs")
