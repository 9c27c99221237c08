"""Make our JSON Lines of a JSON array, CSV, TSV or other JSON Lines.

    python -m stages.tools.to_jsonl IN OUT.jsonl

A table needs a line of column names. Passages: `id` and `contents`, or `text` with `title`.
Questions: `id`, `question` and `golden_answers` (or `answers`, `answer`): one answer, or a list as
JSON, Python or numpy writes it (a tuple, a set or an array too), or an object with `value` and
`aliases`; `answer_aliases` are answers too. A row without an id (`id`, or HotpotQA's `_id`) gets
its number, from 0. What supports a question (`supporting_facts`, `question_decomposition`,
`paragraphs`; in a cell as JSON or Python writes it) goes into its `metadata` unless that has it.
Other columns stay as they are. The rows are checked when they are read as a corpus or as questions.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from stages.common.records import heading_of, to_json, write_jsonl
from stages.plumbing import errors
from stages.plumbing.errors import InputError
from stages.sources.arrays import is_array, outside_rows
from stages.sources.cells import texts_of, value_of
from stages.sources.support import SUPPORT, with_support

ANSWERS = ("golden_answers", "answers", "answer")


def main(argv: list[str] | None = None) -> None:
    """Write OUT.jsonl and say how many rows it has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="JSON array, .jsonl, .csv, .tsv (.gz too)")
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
            yield _writable(_named(row, where), where)
        return
    if suffix != ".jsonl" and not is_array(path):
        raise InputError(f"{path}: expected a JSON array, .jsonl, .csv or .tsv")
    for number, (where, row) in enumerate(outside_rows(path)):
        yield _writable(_named(_numbered(row, number), where), where)


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
                yield where, _numbered(row, number)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputError(f"{path}: the gzip file is broken") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not valid UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from None


def _numbered(row: dict, number: int) -> dict:
    """The row with an id: its own, or its number."""
    return row if "id" in row else {"id": row.pop("_id", str(number)), **row}


def _named(row: dict, where: str) -> dict:
    """A row under the names that are read here."""
    if "text" in row and "contents" not in row:
        title = "" if row.get("title") is None else _text(row["title"], "title", where)
        row.pop("title", None)
        row["contents"] = f"{_heading(title)}\n{_text(row.pop('text'), 'text', where)}"
    if "question" not in row:
        if "contents" not in row:
            raise InputError(f"{where}: neither 'question' nor 'contents' (or 'text') is a column")
        return row
    key = next((key for key in ANSWERS if key in row), None)
    if key is None:
        raise InputError(f"{where}: no column of answers: {', '.join(ANSWERS)}")
    answers = _answers(row.pop(key), where)
    if "answer_aliases" in row:
        aliases = _answers(row.pop("answer_aliases"), where)
        answers += [each for each in aliases if each not in answers]
    for name in ("metadata", *SUPPORT):
        if isinstance(row.get(name), str):
            row[name] = _written(row.pop(name), name, where)
    return with_support(row) | {"golden_answers": answers}


def _text(value: object, name: str, where: str) -> str:
    """The text in a cell or under a key; pandas writes that of a whole number as one."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InputError(f"{where}: '{name}' must be a text, found {json.dumps(value)[:40]}")
    return str(value)


def _writable(row: dict, where: str) -> dict:
    """The row. InputError if no file can hold it."""
    try:
        to_json(row, where).encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"{where}: a text holds half a surrogate pair") from None
    return row


def _heading(title: str) -> str:
    """A title on one line, as corpora have it; it may stand in quotes already."""
    title = " ".join(title.splitlines())
    return title if len(title) > 1 and title[0] == title[-1] == '"' else heading_of(title)


def _written(cell: str, name: str, where: str) -> object:
    """The object or list in a cell; None for an empty one."""
    value = value_of(cell) if cell.strip() else None
    if cell.strip() and not isinstance(value, dict | list | tuple):
        raise InputError(f"{where}: '{name}': {cell[:40]!r} is no object and no list")
    return value


def _answers(value: object, where: str) -> list:
    """The answers in a cell or under a key: one text, a list, or an object with aliases."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        told = value_of(value)
        value = told if isinstance(told, dict) and "value" in told else value
    if isinstance(value, dict) and "value" in value:
        aliases = value.get("aliases")
        value = [value["value"], *(aliases if isinstance(aliases, list) else [])]
    if isinstance(value, str):
        return texts_of(value, where)
    values = value if isinstance(value, list) else [value]
    return [str(each) if type(each) is int else each for each in values]


if __name__ == "__main__":
    errors.run(main)
