"""Score predictions: `python -m stages.tools.score FILE [--each]` prints EM and F1 of a JSON Lines file.

Each line is an object with `id`, `golden_answers` (a list of texts) and `prediction` (a text; null
or absent: no answer, which scores 0). With --each, standard output has one line
`{"id", "em", "f1"}` an item, and the means go to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from stages.common.records import golden_answers_of, iter_jsonl
from stages.plumbing import errors
from stages.plumbing.errors import InputError
from stages.scoring import exact_match, f1_score


def score(path: Path) -> list[dict]:
    """`{"id", "em", "f1"}` of every line. InputError names the first line that is wrong."""
    items = []
    for where, row in iter_jsonl(path, ("id", "golden_answers")):
        if isinstance(row["id"], bool) or not isinstance(row["id"], str | int):
            raise InputError(f"{where}: 'id' must be a text or an integer")
        golden_answers = golden_answers_of(row, where)
        prediction = row.get("prediction")
        if prediction is not None and not isinstance(prediction, str):
            found = type(prediction).__name__
            raise InputError(f"{where}: 'prediction' must be a text or null, found {found}")
        em, f1 = exact_match(prediction, golden_answers), f1_score(prediction, golden_answers)
        items.append({"id": row["id"], "em": em, "f1": f1})
    if not items:
        raise InputError(f"{path}: holds no prediction")
    return items


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
