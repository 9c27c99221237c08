"""Training pairs that others have published, in the form of the paper's data set.

One row an instance: `dataset`, `query_id` (of the question), `question`, `round_index` (from 1),
`history_queries`, `query_text`, `passage_ids` (the positive first) and `scores`, one a passage:
`em`, which is GAC, and `local_utility`, which is LR from 0 to 1. Passages are named by their ids in
the corpus alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from stages.common.fields import Fields
from stages.common.records import Passage, check_encodable, iter_jsonl, other_form, passage_of
from stages.plumbing.errors import InputError
from stages.sources.arrays import outside_rows

TEXTS = ("dataset", "query_id", "round_index", "question", "query_text")
HIGHEST = 100  # of LR


def read_published(path: str | Path) -> list[dict]:
    """The instances in `path`, without texts: `id`, `question`, `query`, `history`, `passage_ids`,
    `lr` and `gac` of the positive (None if not given), and `siblings`, its query's other positives.

    InputError for a file of another form, and for the line (or item) and key that are.
    """
    if other_form(path):  # to_jsonl, which it names, makes passages and questions alone
        raise InputError(f"{path}: published pairs are JSON Lines or one JSON array")
    rows, positives = [], defaultdict(list)
    for where, row in outside_rows(Path(path)):
        fields = Fields(row, where)
        query, question, asked, history = _query(fields)
        ids = _passage_ids(fields)
        if rows and len(ids) != len(rows[0]["passage_ids"]):
            raise InputError(f"{where}: 'passage_ids' must name as many as in the first row")
        lr, gac = _grades(fields, len(ids))
        rows.append(
            {
                "id": f"{query}/{len(positives[query])}",
                "question": question,
                "query": asked,
                "history": history,
                "passage_ids": ids,
                "lr": lr,
                "gac": gac,
            }
        )
        positives[query].append(ids[0])
    if not rows:
        raise InputError(f"{path}: holds no training pair")
    for row in rows:
        tied = positives[row["id"].rpartition("/")[0]]
        row["siblings"] = [one for one in tied if one != row["passage_ids"][0]]
    return rows


def _query(fields: Fields) -> tuple[str, str, str, list[str]]:
    """A name for the row's query, its question, its text and the queries before it."""
    source = fields.text("dataset", absent=True) or "published"
    question_id, turn = fields.identifier("query_id"), fields.identifier("round_index")
    question, asked = fields.text("question"), fields.text("query_text")
    history = fields.texts("history_queries")
    told = {key: str(fields.row.get(key)) for key in TEXTS}
    for key, text in (told | {"history_queries": "".join(history)}).items():
        check_encodable(text, key, fields.where)
    for key in ("question", "query_text"):
        if not told[key].strip():
            raise InputError(f"{fields.where}: '{key}' must be a text that is not empty")
    return f"{source}/{question_id}#{turn}", question, asked, history


def _passage_ids(fields: Fields) -> list[str]:
    ids, where = fields.row.get("passage_ids"), fields.where
    if not isinstance(ids, list) or not all(type(one) in (str, int) for one in ids):
        raise InputError(f"{where}: 'passage_ids' must be a list of ids")
    ids = [str(one) for one in ids]
    if len(ids) < 2 or len({*ids}) < len(ids):
        raise InputError(f"{where}: 'passage_ids' needs a positive and other passages, each once")
    return ids


def _grades(fields: Fields, passages: int) -> tuple[int | None, int | None]:
    """LR from 0 to 100 and GAC of the positive."""
    if fields.row.get("scores") is None:
        return None, None
    scores = fields.objects("scores")
    if len(scores) != passages:
        raise InputError(f"{fields.where}: 'scores' must be a list of one object a passage")
    lr, gac = scores[0].row.get("local_utility"), scores[0].row.get("em")
    if lr is not None and not (type(lr) in (int, float) and 0 <= lr <= 1):
        raise InputError(
            f"{fields.where}: 'scores[0].local_utility' must be from 0 to 1, found {lr!r:.40}"
        )
    if gac not in (None, 0, 1):
        raise InputError(f"{fields.where}: 'scores[0].em' must be 0 or 1, found {gac!r:.40}")
    return None if lr is None else round(HIGHEST * lr), None if gac is None else int(gac)


def find_texts(path: str | Path, rows: Iterable[dict]) -> dict[str, Passage]:
    """The passages of the corpus `path` that rows name, by id; those it lacks are left out."""
    wanted = {one for row in rows for one in row["passage_ids"]}
    found = {}
    for where, row in iter_jsonl(path, ("id", "contents")):
        if str(row["id"]) in wanted:
            found[str(row["id"])] = passage_of(row, where)
    return found


def published_instances(rows: Iterable[dict], passages: dict[str, Passage]) -> Iterator[dict]:
    """The rows as the stage pairs writes instances; rows with a passage that is missing go."""
    for row in rows:
        if all(one in passages for one in row["passage_ids"]):
            positive, *negatives = (
                {"id": one, "text": passages[one].contents} for one in row["passage_ids"]
            )
            kept = {key: row[key] for key in ("id", "question", "query", "history")}
            positive |= {"lr": row["lr"], "gac": row["gac"]}
            yield kept | {
                "positive": positive,
                "negatives": negatives,
                "siblings": row["siblings"],
            }
