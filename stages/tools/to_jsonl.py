"""Make JSON Lines of a JSON array, CSV or TSV: `python -m stages.tools.to_jsonl IN OUT.jsonl`.

A table needs a line of column names. Passages: `id` and `contents`, or `text` with `title`.
Questions: `id`, `question` and `golden_answers` (or `answers`, `answer`): one answer, or a list as
JSON or Python writes it. A row without an id gets its number, from 0. Other columns stay as they
are. The rows are checked when they are read as a corpus or as questions.
"""

from __future__ import annotations

import argparse
import ast
import csv
import gzip
import sys
from collections.abc import Iterator
from pathlib import Path

from stages.common.records import read_json, write_jsonl
from stages.plumbing import errors
from stages.plumbing.errors import InputError

ANSWERS = ("golden_answers", "answers", "answer")


def main(argv: list[str] | None = None) -> None:
    """Write OUT.jsonl and say how many rows it has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="a JSON array, or .csv, .tsv (.gz too)")
    parser.add_argument("output", type=Path, help="JSON Lines to write")
    arguments = parser.parse_args(argv)
    rows = list(read_source(arguments.source))
    if not rows:
        raise InputError(f"{arguments.source}: holds no row")
    write_jsonl(arguments.output, rows)
    number = "1 row" if len(rows) == 1 else f"{len(rows)} rows"
    print(f"{number} in {arguments.output}", file=sys.stderr)


def read_source(path: Path) -> Iterator[dict]:
    """The rows of a file. InputError names the item or line that is none."""
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix in (".csv", ".tsv"):
        for where, row in _table(path, "," if suffix == ".csv" else "\t"):
            yield _named(row, where)
        return
    if path.suffix == ".gz":
        raise InputError(f"{path}: unpack it first, with gunzip: only tables are read gzipped")
    rows = read_json(path)
    if not isinstance(rows, list):
        raise InputError(f"{path}: expected a JSON array, .csv or .tsv")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InputError(f"{path}: item {number + 1}: expected an object")
        yield row if "id" in row else {"id": str(number), **row}


def _table(path: Path, delimiter: str) -> Iterator[tuple[str, dict]]:
    csv.field_size_limit(2**31 - 1)
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            table = csv.reader(file, delimiter=delimiter, strict=True)
            names = next(table, [])
            if len(set(names)) < len(names) or not all(name.strip() for name in names):
                raise InputError(f"{path}:1: column names are missing or occur twice")
            for number, cells in enumerate(table):
                where = f"{path}:{table.line_num}"
                if len(cells) != len(names):
                    raise InputError(f"{where}: {len(cells)} cells, but {len(names)} columns")
                row = dict(zip(names, cells, strict=True))
                yield where, row if "id" in row else {"id": str(number), **row}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not valid UTF-8") from None
    except (csv.Error, EOFError) as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from None


def _named(row: dict[str, str], where: str) -> dict:
    """A row of a table under the names that are read here."""
    if "text" in row and "contents" not in row:
        title = row.pop("title", "")
        row["contents"] = f'"{title}"\n{row.pop("text")}'
    if "question" not in row:
        if "contents" not in row:
            raise InputError(f"{where}: neither 'question' nor 'contents' (or 'text') is a column")
        return row
    key = next((key for key in ANSWERS if key in row), None)
    if key is None:
        raise InputError(f"{where}: no column of answers: {', '.join(ANSWERS)}")
    answers = _list(row.pop(key))
    return row | {"golden_answers": answers}


def _list(cell: str) -> list:
    """The answers in a cell: a list, or the cell itself."""
    if cell.strip().startswith("["):
        try:
            value = ast.literal_eval(cell.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return [cell]
        if isinstance(value, list):
            return value
    return [cell]


if __name__ == "__main__":
    errors.run(main)
