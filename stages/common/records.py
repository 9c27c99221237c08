"""The files that stages exchange: JSON Lines with checked lines, written atomically.

Passages `{"id", "contents": "Title\\ntext"}` and questions `{"id", "question", "golden_answers",
"metadata"}` have the form that Search-R1 and FlashRAG use. Wikipedia 2018 puts quotes around titles
of several words and none around those of one word.
"""

from __future__ import annotations

import glob
import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stages.plumbing.errors import InputError


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
        return self.heading[1:-1] if quoted else self.heading


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


def iter_jsonl(path: str | Path, required: Iterable[str] = ("id",)) -> Iterator[tuple[str, dict]]:
    """Yield (`file:line`, row) for each line; every row is an object with the `required` keys.

    A file NAME.gz is read as it is.
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
                yield where, _parse(line, where, required)
        except UnicodeDecodeError:
            raise InputError(f"{path}:{number + 1}: not valid UTF-8") from None
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise InputError(f"{path}:{number + 1}: the gzip file is broken") from None


def _parse(line: str, where: str, required: tuple[str, ...]) -> dict:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not a JSON object on one line ({_reason(error)})") from None
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected a JSON object, found {type(row).__name__}")
    for key in required:
        if key not in row:
            raise InputError(f"{where}: the key '{key}' is missing")
    return row


def _reason(error: Exception) -> str:
    """Why the JSON parser gave up; it also refuses numbers of thousands of digits."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "nested too deeply" if isinstance(error, RecursionError) else "a number is too long"


def write_jsonl(path: str | Path, rows: Iterable[dict]) -> None:
    """Write one JSON object a line, atomically: the file is whole or not there.

    Rows may be a generator: one is held at a time.
    """
    _write(path, (json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_json(path: str | Path, value: object) -> None:
    """Write indented JSON atomically."""
    _write(path, [json.dumps(value, ensure_ascii=False, indent=2) + "\n"])


def write_text(path: str | Path, text: str) -> None:
    """Write text atomically."""
    _write(path, [text])


def read_json(path: str | Path) -> object:
    """Read a JSON file. InputError names the file (and line) when it cannot be read."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not valid UTF-8") from None
    except (ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"{path}{line}: not valid JSON ({_reason(error)})") from None


def read_yaml(path: str | Path) -> object:
    """Read a YAML file. InputError names the file (and line) when it cannot be read."""
    import yaml

    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not valid UTF-8") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise invalid_yaml(path, error) from None


def invalid_yaml(path: str | Path, error: Exception) -> InputError:
    """What a YAML parser's `error` about `path` means, on one line."""
    mark = getattr(error, "problem_mark", None)
    line = f":{mark.line + 1}" if mark else ""
    problem = str(getattr(error, "problem", None) or error).splitlines()[0]
    return InputError(f"{path}{line}: not valid YAML ({problem})")


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


def read_questions(path: str | Path) -> list[Question]:
    """Questions in file order. Each needs a text and at least one non-empty gold answer."""
    questions, seen = [], set()
    for where, row in iter_jsonl(path, ("id", "question", "golden_answers")):
        questions.append(question_of(row, where))
        check_new(questions[-1].id, seen, where)
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
    metadata = row.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise InputError(f"{where}: 'metadata' must be an object")
    check_encodable(json.dumps(metadata, ensure_ascii=False), "metadata", where)
    for key in ("hops", "namesakes"):
        if type(metadata.get(key)) not in (int, type(None)):  # bool is a kind of int
            raise InputError(f"{where}: 'metadata.{key}' must be an integer")
    hops = metadata.get("supporting_ids") or []
    if not isinstance(hops, list) or not all(hop and _is_texts(hop) for hop in hops):
        raise InputError(
            f"{where}: 'metadata.supporting_ids' must be a list with some ids, a list, for each hop"
        )
    if not _is_texts(metadata.get("supporting_titles") or []):
        raise InputError(f"{where}: 'metadata.supporting_titles' must be a list of texts")
    return metadata


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def golden_answers_of(row: dict, where: str) -> list[str]:
    """The row's gold answers: a non-empty list of texts, at least one of them not blank."""
    answers = row.get("golden_answers")
    if not isinstance(answers, list) or not all(isinstance(a, str) for a in answers):
        raise InputError(f"{where}: 'golden_answers' must be a list of texts")
    if not any(answer.strip() for answer in answers):
        raise InputError(f"{where}: the question has no gold answer")
    for answer in answers:
        check_encodable(answer, "golden_answers", where)
    return answers


def write_questions(path: str | Path, questions: Iterable[Question]) -> None:
    """Write questions in the form that `read_questions` reads."""
    write_jsonl(path, (vars(q) for q in questions))


def _id(row: dict, where: str) -> str:
    if isinstance(row["id"], bool) or not isinstance(row["id"], str | int):
        raise InputError(f"{where}: 'id' must be a text or an integer")
    check_encodable(str(row["id"]), "id", where)
    return str(row["id"])


def _text(row: dict, key: str, where: str) -> str:
    if not isinstance(row[key], str):
        raise InputError(f"{where}: '{key}' must be a text, found {type(row[key]).__name__}")
    check_encodable(row[key], key, where)
    return row[key]


def check_encodable(text: str, key: str, where: str) -> None:
    """InputError if the value of `key` cannot be written as UTF-8."""
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
