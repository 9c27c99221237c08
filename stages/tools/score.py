"""EM and F1 of predictions in a JSON Lines file: `python -m stages.tools.score FILE [--each]`.

Each line is an object with `id`, `golden_answers` (a list of texts) and `prediction` (a text, or
null: no answer, which scores 0). The trajectories of this repo (data/predictions,
data/trajectories) are read as they are: their prediction is their `answer`, and an id may stand
once in each `set`.
With --each, standard output has one line `{"id", "em", "f1"}` an item, with its `set` if it has
one, and the means go to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from stages.common.records import check_encodable, golden_answers_of, iter_jsonl
from stages.plumbing import errors
from stages.plumbing.errors import InputError
from stages.scoring import exact_match, f1_score

KEY = "prediction"


def score(path: Path) -> list[dict]:
    """`{"id", "em", "f1"}` of every line. InputError names the first line that is wrong."""
    items, seen = [], set()
    for where, row in iter_jsonl(path, ("id", "golden_answers"), outside=True):
        if isinstance(row["id"], bool) or not isinstance(row["id"], str | int):
            raise InputError(f"{where}: 'id' must be a text or an integer")
        check_encodable(str(row["id"]), "id", where)
        of_set = _set_of(row, where)
        identity = of_set.get("set"), str(row["id"])
        if identity in seen:
            raise InputError(f"{where}: the id '{row['id']}' occurs twice")
        seen.add(identity)
        golden_answers = golden_answers_of(row, where)
        prediction = _prediction(row, where)
        em, f1 = exact_match(prediction, golden_answers), f1_score(prediction, golden_answers)
        items.append({**of_set, "id": row["id"], "em": em, "f1": f1})
    if not items:
        raise InputError(f"{path}: holds no prediction")
    return items


def _set_of(row: dict, where: str) -> dict[str, str]:
    """The row's question set, if it says one."""
    name = row.get("set")
    if name is not None and not isinstance(name, str):
        raise InputError(f"{where}: 'set' must be a text")
    return {} if name is None else {"set": name}


def _prediction(row: dict, where: str) -> str | None:
    """What was answered. InputError if the row does not say: a question alone answers nothing, and
    data sets call their gold answer 'answer' too, so only a trajectory's is a prediction."""
    key = "answer" if "prediction" not in row and "answer" in row and "turns" in row else KEY
    if key not in row:
        there = ", ".join(map(ascii, [name[:40] for name in row][:12]))
        raise InputError(
            f"{where}: the key '{KEY}' is missing (null: no answer); the line has {there}"
        )
    prediction = row[key]
    if prediction is not None and not isinstance(prediction, str):
        found = type(prediction).__name__
        raise InputError(f"{where}: '{key}' must be a text or null, found {found}")
    return prediction


def main(argv: list[str] | None = None) -> None:
    """Score the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="predictions, JSON Lines")
    parser.add_argument("--each", action="store_true", help="one JSON line an item")
    arguments = parser.parse_args(argv)
    items = score(arguments.file)
    if arguments.each:
        for item in items:
            print(json.dumps(item))
    means = (sum(item[key] for item in items) / len(items) for key in ("em", "f1"))
    text = "EM {:.4f}\nF1 {:.4f}".format(*means)
    print(text, file=sys.stderr if arguments.each else sys.stdout)


if __name__ == "__main__":
    errors.run(main)
