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

from stages.common.records import Passage, check_encodable, iter_jsonl, passage_of
from stages.plumbing.errors import InputError

KEYS = ("query_id", "question", "round_index", "history_queries", "query_text", "passage_ids")
HIGHEST = 100  # of LR


def read_published(path: str | Path) -> list[dict]:
    """The instances in `path`, without texts: `id`, `question`, `query`, `history`, `passage_ids`,
    `lr` and `gac` of the positive (None if not given), and `siblings`, its query's other positives.

    InputError for a line of another form.
    """
    rows, positives = [], defaultdict(list)
    for where, row in iter_jsonl(path, KEYS):
        query = f"{row.get('dataset') or 'published'}/{row['query_id']}#{row['round_index']}"
        ids = _checked(row, where)
        if rows and len(ids) != len(rows[0]["passage_ids"]):
            raise InputError(f"{where}: every row must have as many passages as the first")
        lr, gac = _grades(row, where)
        rows.append(
            {
                "id": f"{query}/{len(positives[query])}",
                "question": row["question"],
                "query": row["query_text"],
                "history": row["history_queries"],
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


def _checked(row: dict, where: str) -> list[str]:
    """The row's passage ids, all its texts being what they should."""
    ids, history = row["passage_ids"], row["history_queries"]
    for key in ("question", "query_text"):
        if not isinstance(row[key], str) or not row[key].strip():
            raise InputError(f"{where}: '{key}' must be a text that is not empty")
        check_encodable(row[key], key, where)
    if not isinstance(history, list) or not all(isinstance(query, str) for query in history):
        raise InputError(f"{where}: 'history_queries' must be a list of texts")
    if not isinstance(ids, list) or not all(type(one) in (str, int) for one in ids):
        raise InputError(f"{where}: 'passage_ids' must be a list of ids")
    ids = [str(one) for one in ids]
    if len(ids) < 2 or len({*ids}) < len(ids):
        raise InputError(f"{where}: 'passage_ids' needs a positive and other passages, each once")
    return ids


def _grades(row: dict, where: str) -> tuple[int | None, int | None]:
    """LR from 0 to 100 and GAC of the positive."""
    scores = row.get("scores")
    if scores is None:
        return None, None
    if not isinstance(scores, list) or len(scores) != len(row["passage_ids"]):
        raise InputError(f"{where}: 'scores' must be a list of one object a passage")
    score = scores[0]
    try:
        lr, gac = score.get("local_utility"), score.get("em")
        return None if lr is None else round(HIGHEST * lr), None if gac is None else int(gac)
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: 'scores': 'local_utility' and 'em' must be numbers") from None


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
