"""The files that stages exchange: JSON Lines with checked lines, written atomically.

Passages `{"id", "contents": "Title\\ntext"}` and questions `{"id", "question", "golden_answers",
"metadata"}` have the form that Search-R1 and FlashRAG use. Wikipedia 2018 puts quotes around titles
of several words and none around those of one word.
"""

from __future__ import annotations

import glob
import gzip
import json
import math
import os
import re
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stages.plumbing.errors import InputError
from stages.plumbing.finite import NotFinite
from stages.plumbing.yaml_text import parse_yaml


@dataclass(frozen=True)
class Passage:
    """A passage of the corpus; `heading` is the first line of its `contents` as it stands."""

    id: str
    heading: str
    text: str

    @property
    def contents(self) -> str:
        """The heading, a line break and the text: what the corpus file holds and encoders read."""
        return f"{self.heading}\n{self.text}"

    @property
    def title(self) -> str:
        """The heading without quotes around it: for comparing and for pages, not for models."""
        quoted = len(self.heading) >= 2 and self.heading[0] == self.heading[-1] == '"'
        return self.heading[1:-1].replace('""', '"') if quoted else self.heading


def heading_of(title: str) -> str:
    """The heading of a title as the corpora of Wikipedia 2018 have it, which published agents read:
    in quotes where it has a space or a quote, which then stands twice.
    """
    return '"' + title.replace('"', '""') + '"' if {" ", '"'} & set(title) else title


@dataclass(frozen=True)
class Question:
    """A question with its gold answers; `metadata` holds what a data set says of it."""

    id: str
    question: str
    golden_answers: list[str]
    metadata: dict = field(default_factory=dict)


def read_jsonl(path: str | Path, required: Iterable[str] = ("id",)) -> list[dict]:
    """All rows of a JSON Lines file. InputError `file:line: ...` for the first bad line."""
    return [row for _, row in iter_jsonl(path, required)]


def iter_jsonl(
    path: str | Path, required: Iterable[str] = ("id",), *, outside: bool = False
) -> Iterator[tuple[str, dict]]:
    """Yield (`file:line`, row) for each line; every row is an object with the `required` keys.

    A file NAME.gz is read as it is. A file from `outside` may open with a byte order mark and hold
    blank lines, and no key may stand twice in an object of it.
    """
    required = tuple(required)
    opened = gzip.open if Path(path).suffix == ".gz" else open
    try:
        file = opened(path, "rt", encoding="utf-8", errors="strict", newline="\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    with file:
        number = 0
        try:
            for number, line in enumerate(file, 1):
                where = f"{path}:{number}"
                if outside and number == 1:
                    line = line.removeprefix(MARK)
                if outside and not line.strip():
                    continue
                try:
                    row = _parse(line, where, required)
                except InputError:
                    if number > 1 or (other := other_form(path, line)) is None:
                        raise
                    raise InputError(f"{where}: {other}") from None
                if outside:
                    _check_keys(row, line, where)
                yield where, row
        except UnicodeDecodeError:
            raise InputError(f"{path}:{number + 1}: not valid UTF-8") from None
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise InputError(f"{path}:{number + 1}: the gzip file is broken") from None


def line_spans(path: str | Path) -> Iterator[tuple[int, int]]:
    """Where each line of a file starts and ends, in bytes: beside `iter_jsonl`, line by line."""
    end = 0
    with open(path, "rb") as file:
        for line in file:
            start, end = end, end + len(line)
            yield start, end


def row_at(path: str | Path, span: tuple[int, int]) -> dict:
    """The row of a line that was read before, from its span."""
    start, end = span
    with open(path, "rb") as file:
        file.seek(start)
        return parse_json(file.read(end - start), str(path))


def _parse(line: str, where: str, required: tuple[str, ...]) -> dict:
    try:
        row = parse_json(line, where)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not a JSON object on one line ({_reason(error)})") from None
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected a JSON object, found {type(row).__name__}")
    for key in required:
        if key not in row:
            raise InputError(f"{where}: the key '{key}' is missing")
    return row


def other_form(path: str | Path, line: str = "") -> str | None:
    """What to do about a file that is no JSON Lines, if its name or first line says what it is."""
    name = Path(path).name.lower().removesuffix(".gz")
    form = {".csv": "CSV", ".tsv": "TSV"}.get(Path(name).suffix)
    form = form or ("a JSON array" if line.lstrip("\ufeff \t").startswith("[") else None)
    if form is None:
        return None
    return (
        f"this is {form}: `python -m stages.tools.to_jsonl {path} NEW.jsonl` makes JSON Lines of it"
    )


MARK = "\ufeff"  # of byte order, with which some programs open a text file
_KEY = re.compile(r'"\s*:')  # the end of a key, unless it stands in a text


def _check_keys(row: dict, line: str, where: str) -> None:
    """InputError if a key stands twice in an object, where readers would take the last."""
    if not may_repeat_keys(row, line):
        return

    def once(pairs: list[tuple[str, object]]) -> dict:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InputError(f"{where}: the key '{key}' occurs twice")
            seen.add(key)
        return dict(pairs)

    json.loads(line, object_pairs_hook=once)


def may_repeat_keys(value: object, text: str) -> bool:
    """Whether `text`, the JSON of `value`, could hold a key twice in an object: seldom, so that it
    need not be read again.
    """
    return len(_KEY.findall(text)) != _keys(value)


def _keys(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_keys, value.values()))
    return sum(map(_keys, value)) if isinstance(value, list) else 0


def _reason(error: Exception) -> str:
    """Why the JSON parser gave up; it also refuses numbers of thousands of digits."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "nested too deeply" if isinstance(error, RecursionError) else "a number is too long"


class _Beyond(ValueError):
    """A number that no JSON has: NaN, Infinity, or one beyond the range of floats."""


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Beyond
    return number


def _constant(text: str) -> float:
    raise _Beyond


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_constant)


def parse_json(text: str | bytes, where: str) -> object:
    """The value of a JSON text. NotFinite names the key of a number that is not finite: NaN and
    Infinity, which are no JSON, and 1e999. ValueError or RecursionError if it is no JSON at all.

    `where` opens the message. All JSON of files is read here.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        return _DECODER.decode(text)
    except _Beyond:
        raise NotFinite(f"{where}: {_not_finite(json.loads(text))}") from None


def to_json(value: object, where: str, *, indent: int | None = None) -> str:
    """`value` as JSON. NotFinite names the key of a number that is not finite; `where` opens the
    message. All JSON of files is written here.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    except ValueError:
        raise NotFinite(f"{where}: {_not_finite(value)}, so nothing is written") from None


def _not_finite(value: object) -> str:
    """Which number of a JSON value is not finite."""
    found = next(_numbers_not_finite(value), None)
    if found is None:  # a key that is written twice hides it, or it is a key itself
        return "a number in it is not finite"
    key, number = found
    return f"'{key}' is {number}, which is no finite number" if key else f"{number} is not finite"


def _numbers_not_finite(value: object, key: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, float) and not math.isfinite(value):
        yield key, value
    inside = value.items() if isinstance(value, dict) else ()
    inside = enumerate(value) if isinstance(value, list | tuple) else inside
    for name, part in inside:
        yield from _numbers_not_finite(part, f"{key}.{name}" if key else str(name))


def write_jsonl(path: str | Path, rows: Iterable[dict]) -> None:
    """Write one JSON object a line, atomically: the file is whole or not there.

    Rows may be a generator: one is held at a time. NotFinite for a number that is not finite.
    """
    numbered = enumerate(rows, 1)
    _write(path, (to_json(row, f"{path}:{number}") + "\n" for number, row in numbered))


def write_json(path: str | Path, value: object) -> None:
    """Write indented JSON atomically. NotFinite for a number that is not finite."""
    _write(path, [to_json(value, str(path), indent=2) + "\n"])


def write_text(path: str | Path, text: str) -> None:
    """Write text atomically."""
    _write(path, [text])


def read_json(path: str | Path, *, foreign: bool = False) -> object:
    """Read a JSON file. InputError names the file (and line) when it cannot be read.

    `foreign`: a file of another program, which may hold Infinity (transformers writes it into the
    configurations of some models) and no figure of ours.
    """
    try:
        text = Path(path).read_text(encoding="utf-8").removeprefix(MARK)
        return json.loads(text) if foreign else parse_json(text, str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not valid UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise invalid_json(path, error) from None


def invalid_json(where: str | Path, error: Exception) -> InputError:
    """What a JSON parser's `error` about `where` means, on one line."""
    line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
    return InputError(f"{where}{line}: not valid JSON ({_reason(error)})")


def read_yaml(path: str | Path) -> object:
    """Read a YAML file. InputError names the file (and line) when it cannot be read."""
    try:
        return parse_yaml(Path(path).read_text(encoding="utf-8"), path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not valid UTF-8") from None


def read_passages(path: str | Path) -> list[Passage]:
    """The corpus, in file order. InputError for a malformed line or an id that occurs twice."""
    passages, seen = [], set()
    for where, row in iter_jsonl(path, ("id", "contents")):
        passages.append(passage_of(row, where))
        check_new(passages[-1].id, seen, where)
    if not passages:
        raise InputError(f"{path}: holds no passage")
    return passages


def passage_of(row: dict, where: str) -> Passage:
    """A checked Passage from one row; `where` opens the message of an InputError."""
    contents = _text(row, "contents", where)
    heading, separator, text = contents.partition("\n")
    if not separator:
        raise InputError(f"{where}: 'contents' must be a title line, a line break and the text")
    return Passage(_id(row, where), heading, text)


def write_passages(path: str | Path, passages: Iterable[Passage]) -> None:
    """Write the corpus in the form that `read_passages` reads."""
    write_jsonl(path, ({"id": p.id, "contents": p.contents} for p in passages))


QUESTION = ("id", "question", "golden_answers")  # keys of a row


def read_questions(path: str | Path) -> list[Question]:
    """Questions in file order. Each needs a text and at least one gold answer that is not blank;
    blank ones are left out, and their number is said.
    """
    rows = iter_jsonl(path, QUESTION)
    return all_questions(path, ((where, *_with_blank(row, where)) for where, row in rows))


def _with_blank(row: dict, where: str) -> tuple[Question, int]:
    """The question of a row, and how many blank gold answers were left out."""
    question = question_of(row, where)
    return question, len(row["golden_answers"]) - len(question.golden_answers)


def all_questions(path: str | Path, read: Iterable[tuple[str, Question, int]]) -> list[Question]:
    """The questions of the file `path`, from (`file:line`, question, gold answers left out) of
    each. InputError for an id that occurs twice, or where there is none.
    """
    questions, seen, left_out = [], set(), 0
    for where, question, blank in read:
        check_new(question.id, seen, where)
        questions.append(question)
        left_out += blank
    if left_out:
        print(f"{path}: empty gold answers left out: {left_out}", file=sys.stderr)
    if not questions:
        raise InputError(f"{path}: holds no question")
    return questions


def question_of(row: dict, where: str) -> Question:
    """A checked Question from one row; `where` opens the message of an InputError."""
    text = _text(row, "question", where)
    if not text.strip():
        raise InputError(f"{where}: 'question' is empty")
    return Question(_id(row, where), text, golden_answers_of(row, where), _metadata(row, where))


def _metadata(row: dict, where: str) -> dict:
    """What the row says of its question: the numbers `hops` and `namesakes`, and `supporting_ids`,
    a list of passage ids a hop, among others.
    """
    metadata = row.get("metadata")
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict):
        raise InputError(f"{where}: 'metadata' must be an object")
    told = json.dumps(metadata, ensure_ascii=False)
    check_encodable(told, "metadata", where)
    if "\\u0000" in told.replace("\\\\", ""):
        check_encodable("\0", "metadata", where)
    for key in ("hops", "namesakes"):
        number = metadata.get(key)
        if type(number) not in (int, type(None)):  # bool is a kind of int
            raise InputError(f"{where}: 'metadata.{key}' must be an integer")
        if number is not None and number < 0:
            raise InputError(f"{where}: 'metadata.{key}' must not be negative, found {number}")
    hops = _listed(metadata, "supporting_ids")
    if not isinstance(hops, list) or not all(hop and _is_texts(hop) for hop in hops):
        raise InputError(
            f"{where}: 'metadata.supporting_ids' must be a list with some ids, a list of texts, "
            "for each hop"
        )
    for identifier in (identifier for hop in hops for identifier in hop):
        _check_id(identifier, "metadata.supporting_ids", where)
    titles = _listed(metadata, "supporting_titles")
    if not _is_texts(titles):
        raise InputError(f"{where}: 'metadata.supporting_titles' must be a list of texts")
    check_encodable("".join(titles), "metadata.supporting_titles", where)
    return metadata


def _listed(metadata: dict, key: str) -> object:
    return [] if metadata.get(key) is None else metadata[key]


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def golden_answers_of(row: dict, where: str) -> list[str]:
    """The row's gold answers that are not blank. InputError where there is none, or no text."""
    answers = row.get("golden_answers")
    if not isinstance(answers, list) or not all(isinstance(a, str) for a in answers):
        raise InputError(f"{where}: 'golden_answers' must be a list of texts")
    if not any(answer.strip() for answer in answers):
        raise InputError(f"{where}: the question has no gold answer")
    for answer in answers:
        check_encodable(answer, "golden_answers", where)
    return [answer for answer in answers if answer.strip()]


def as_csv(rows: Sequence[dict], columns: Sequence[str] = ()) -> str:
    """Rows with the same keys as CSV text with a header, one line a row: numbers in full, None as
    an empty cell. `columns` make the header where there are no rows."""
    import pandas as pd

    table = pd.DataFrame(list(rows), columns=list(rows[0] if rows else columns), dtype=object)
    return table.to_csv(index=False, lineterminator="\n")


def write_questions(path: str | Path, questions: Iterable[Question]) -> None:
    """Write questions in the form that `read_questions` reads."""
    write_jsonl(path, (vars(q) for q in questions))


def _id(row: dict, where: str) -> str:
    if isinstance(row["id"], bool) or not isinstance(row["id"], str | int):
        raise InputError(f"{where}: 'id' must be a text or an integer")
    _check_id(str(row["id"]), "id", where)
    return str(row["id"])


def _check_id(identifier: str, key: str, where: str) -> None:
    """InputError for an id that no line, table or address can hold."""
    check_encodable(identifier, key, where)
    if not identifier.strip():
        raise InputError(f"{where}: '{key}' holds an empty id")
    if len(f"{identifier}.".splitlines()) > 1:
        raise InputError(f"{where}: '{key}' holds an id with a line break: {identifier!r}")


def _text(row: dict, key: str, where: str) -> str:
    if not isinstance(row[key], str):
        raise InputError(f"{where}: '{key}' must be a text, found {type(row[key]).__name__}")
    check_encodable(row[key], key, where)
    return row[key]


def check_encodable(text: str, key: str, where: str) -> None:
    """InputError if the value of `key` cannot be written as UTF-8, or holds NUL, which is no text
    to many programs.
    """
    if "\0" in text:
        raise InputError(f"{where}: '{key}' holds NUL (\\u0000)")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"{where}: '{key}' holds half a surrogate pair") from None


def check_new(identifier: str, seen: set[str], where: str) -> None:
    """Add the id of a row to `seen`. InputError if it is there already."""
    if identifier in seen:
        raise InputError(f"{where}: the id '{identifier}' occurs twice")
    seen.add(identifier)


def _write(path: str | Path, parts: Iterable[str]) -> None:
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, where a file would be written")
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????"):
        left.unlink(missing_ok=True)  # by a process that was killed here
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
