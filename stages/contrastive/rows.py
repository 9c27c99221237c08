"""Training instances as the rows that contrastive training reads, and their order."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stages.common.instances import iter_instances
from stages.encoders.query_format import QueryFormat
from stages.plumbing.errors import InputError

NONE = -1  # fills up the list of a query's positives


@dataclass(frozen=True)
class TrainingRow:
    """One row of the training: texts as the model reads them, and passages by id."""

    query_id: str
    anchor: str
    passages: list[str]  # the positive, then the negatives
    passage_ids: list[str]
    positive_ids: list[str]  # the query's positives, this instance's among them


def read_training_rows(path: str | Path, query_format: QueryFormat) -> list[TrainingRow]:
    """Training instances as the stage `pairs` writes them. InputError for a malformed line.

    An agent may ask the same twice for a question: the positives of equal queries are put together,
    so that none of one is a negative of the other. Where the model does not read the question, the
    equal queries of all questions are one.
    """
    rows: list[TrainingRow] = []
    asked: dict[tuple[str, str], list[str]] = {}  # (question, query) -> its positives
    for where, instance in iter_instances(path):
        passages = [instance.positive, *instance.negatives]
        texts = [query_format.passage_prompt + passage.text for passage in passages]
        ids = [passage.id for passage in passages]
        request, text = instance.request, query_format.text(instance.request)
        same = (request.question, request.query) if query_format.reads("question") else ("", text)
        positives = asked.setdefault(same, [])
        positives += [one for one in (ids[0], *instance.siblings) if one not in positives]
        rows.append(
            TrainingRow(instance.query_id, query_format.query_prompt + text, texts, ids, positives)
        )
        if len(ids) != len(rows[0].passage_ids):
            raise InputError(f"{where}: every instance must have as many negatives as the first")
    return rows


def contrastive_columns(rows: Iterable[TrainingRow]) -> dict[str, list]:
    """The rows as columns: anchor, positive, negative_1, ..., label (see InstanceLoss)."""
    rows = list(rows)
    numbers: dict[str, int] = {}
    most = max(len(row.positive_ids) for row in rows)
    labels = []
    for row in rows:
        filled = [NONE] * (most - len(row.positive_ids))
        ids = row.positive_ids, row.passage_ids
        known, own = ([numbers.setdefault(i, len(numbers)) for i in part] for part in ids)
        labels.append(known + filled + own)
    names = ["positive", *(f"negative_{n}" for n in range(1, len(rows[0].passages)))]
    texts = zip(names, zip(*(row.passages for row in rows)))
    return {"anchor": [row.anchor for row in rows], **dict(texts), "label": labels}


def training_order(count: int, total: int, seed: int) -> list[int]:
    """`total` positions out of `count`: seeded permutations of all of them, one after another."""
    draw = random.Random(seed)
    order: list[int] = []
    while len(order) < total:
        order += draw.sample(range(count), count)
    return order[:total]
