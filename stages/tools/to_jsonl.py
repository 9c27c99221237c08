"""Make our JSON Lines of a JSON array, CSV, TSV or other JSON Lines.

    python -m stages.tools.to_jsonl IN OUT.jsonl

A table needs a line of column names. Passages: `id` and `contents`, or `text` with `title`.
Questions: `id`, `question` and `golden_answers` (or `answers`, `answer`): one answer, or a list as
JSON, Python or numpy writes it, or an object with `value` and `aliases`; `answer_aliases` are
answers too. A row without an id (`id`, or HotpotQA's `_id`) gets its number, from 0. What supports
a question (`supporting_facts`, `question_decomposition`, `paragraphs`) goes into its `metadata` if
it has none. Other columns stay as they are. The rows are checked when they are read as a corpus or
as questions.
"""

from __future__ import annotations

import argparse
import ast
import csv
import gzip
import io
import json
import sys
import tokenize
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from stages.common.records import iter_jsonl, read_json, write_jsonl
from stages.plumbing import errors
from stages.plumbing.errors import InputError

ANSWERS = ("golden_answers", "answers", "answer")
SUPPORT = ("supporting_facts", "question_decomposition", "paragraphs")


def main(argv: list[str] | None = None) -> None:
    """Write OUT.jsonl and say how many rows it has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="a JSON array, or .jsonl, .csv, .tsv (.gz too)")
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
    if suffix == ".jsonl":
        for number, (where, row) in enumerate(iter_jsonl(path, (), outside=True)):
            yield _named(_numbered(row, number), where)
        return
    if path.suffix == ".gz":
        raise InputError(
            f"{path}: unpack it first, with gunzip: only tables and JSON Lines are read gzipped"
        )
    rows = read_json(path)
    if not isinstance(rows, list):
        raise InputError(f"{path}: expected a JSON array, .jsonl, .csv or .tsv")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InputError(f"{path}: item {number + 1}: expected an object")
        yield _named(_numbered(row, number), f"{path}: item {number + 1}")


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
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not valid UTF-8") from None
    except (csv.Error, EOFError) as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from None


def _numbered(row: dict, number: int) -> dict:
    """The row with an id: its own, or its number."""
    return row if "id" in row else {"id": row.pop("_id", str(number)), **row}


def _named(row: dict, where: str) -> dict:
    """A row under the names that are read here."""
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
    answers = _answers(row.pop(key), where)
    if "answer_aliases" in row:
        aliases = _answers(row.pop("answer_aliases"), where)
        answers += [each for each in aliases if each not in answers]
    if "metadata" not in row and (support := {k: row.pop(k) for k in SUPPORT if k in row}):
        row["metadata"] = support
    return row | {"golden_answers": answers}


def _answers(value: object, where: str) -> list:
    """The answers in a cell or under a key: one text, a list, or an object with aliases."""
    if isinstance(value, dict) and "value" in value:
        aliases = value.get("aliases")
        value = [value["value"], *(aliases if isinstance(aliases, list) else [])]
    if isinstance(value, str):
        return _list(value, where)
    values = value if isinstance(value, list) else [value]
    return [str(each) if type(each) is int else each for each in values]


def _list(cell: str, where: str) -> list:
    """The answers in a cell: a list as JSON, Python or numpy writes it, or the cell itself."""
    text = cell.strip()
    if not text.startswith("["):
        return [cell]
    with suppress(ValueError, RecursionError):
        if isinstance(value := json.loads(text, parse_int=str, parse_float=str), list):
            return value
    if (values := _literals(text)) is not None:
        return values
    if text.startswith(("['", '["')):
        raise InputError(f"{where}: {text[:40]!r} opens a list of answers and is none")
    return [cell]  # an answer such as [REC]


def _literals(text: str) -> list[str] | None:
    """The texts and numbers of a list as Python writes it, or numpy, with no comma between them
    (Python itself would join those). None if it is no such list."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        words = [token for token in tokens if token.type in (tokenize.STRING, tokenize.NUMBER)]
        marks = [token.string for token in tokens if token not in words and token.string.strip()]
        if marks[:1] != ["["] or marks[1:][-1:] != ["]"] or set(marks[1:-1]) - {","}:
            return None
        return [
            str(ast.literal_eval(token.string)) if token.type == tokenize.STRING else token.string
            for token in words
        ]
    except (tokenize.TokenError, SyntaxError, ValueError):
        return None


if __name__ == "__main__":
    errors.run(main)
