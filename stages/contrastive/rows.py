"""Training instances as the rows that contrastive training reads, and their order."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stages.common.instances import iter_instances
from stages.contrastive.numbers import NONE, as_numbers
from stages.encoders.query_format import QueryFormat


@dataclass(frozen=True)
class TrainingRow:
    """One row of the training: texts as the model reads them, and passages by id."""

    query_id: str
    anchor: str
    passages: list[str]  # the positive, then the negatives
    passage_ids: list[str]
    positive_ids: list[str]  # the query's positives, this instance's among them
    tiers: list[str | None]  # of the negatives
    reasoning: int | None  # words after the positive was used


def read_training_rows(path: str | Path, query_format: QueryFormat) -> list[TrainingRow]:
    """Training instances as the stage `pairs` writes them. InputError for a malformed line.

    An agent may ask the same twice for a question: the positives of equal queries are put together,
    so that none of one is a negative of the other. Where the model does not read the question, the
    equal queries of all questions are one.
    """
    rows: list[TrainingRow] = []
    asked: dict[tuple[str, str], list[str]] = {}  # (question, query) -> its positives
    for _, instance in iter_instances(path):
        passages = [instance.positive, *instance.negatives]
        texts = [query_format.passage_prompt + passage.text for passage in passages]
        ids = [passage.id for passage in passages]
        request, text = instance.request, query_format.text(instance.request)
        same = (request.question, request.query) if query_format.reads("question") else ("", text)
        positives = asked.setdefault(same, [])
        positives += [one for one in (ids[0], *instance.siblings) if one not in positives]
        rows.append(
            TrainingRow(
                instance.query_id,
                query_format.query_prompt + text,
                texts,
                ids,
                positives,
                [negative.tier for negative in instance.negatives],
                instance.reasoning,
            )
        )
    return rows


def contrastive_columns(
    rows: Iterable[TrainingRow], weights: Iterable[list[float]] | None = None
) -> dict[str, list]:
    """The rows as columns: anchor, positive, negative_1, ..., label (see InstanceLoss).

    `weights` has a list a row: the instance's own, then its negatives'. A row with fewer negatives
    than others is filled up with its positive, which is hidden there.
    """
    rows = list(rows)
    numbers: dict[str, int] = {}
    most = max(len(row.positive_ids) for row in rows)
    columns = max(len(row.passages) for row in rows)
    labels, passages = [], []
    for row in rows:
        ids = row.positive_ids, row.passage_ids
        known, own = ([numbers.setdefault(i, len(numbers)) for i in part] for part in ids)
        missing = columns - len(own)
        passages.append(row.passages + row.passages[:1] * missing)
        labels.append(known + [NONE] * (most - len(known)) + own + [NONE] * missing)
    if weights is not None:
        filled = [own + [1.0] * (columns - len(own)) for own in weights]
        labels = [label + as_numbers(own) for label, own in zip(labels, filled, strict=True)]
    names = ["positive", *(f"negative_{n}" for n in range(1, columns))]
    texts = zip(names, zip(*passages))
    return {"anchor": [row.anchor for row in rows], **dict(texts), "label": labels}


def training_order(count: int, total: int, seed: int) -> list[int]:
    """`total` positions out of `count`: seeded permutations of all of them, one after another."""
    draw = random.Random(seed)
    order: list[int] = []
    while len(order) < total:
        order += draw.sample(range(count), count)
    return order[:total]
