"""Passages as a stream: a corpus of any size is checked and written with flat memory."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from stages.common.records import (
    Passage,
    check_encodable,
    heading_of,
    iter_jsonl,
    passage_of,
    write_jsonl,
)
from stages.plumbing.errors import InputError
from stages.plumbing.progress import progress
from stages.sources.description import corpus_files, is_description, local_path

Named = tuple[str, Passage]  # with where it stands, for messages


def copy_passages(source: str, output: Path) -> int:
    """Write the passages of `source`, a JSON Lines file or a description, and return their number.

    InputError names the first line that is no passage, or that bears the id of an earlier one.
    """
    digests = array("Q")  # of the ids seen so far, 8 bytes each
    write_jsonl(output, _checked(source, digests))
    return len(digests)


def _checked(source: str, digests: array) -> Iterator[dict]:
    for _, passage in progress(passages_of(source), desc="corpus", unit="passage"):
        digest = hashlib.blake2b(passage.id.encode(), digest_size=8).digest()
        digests.append(int.from_bytes(digest, "big"))
        yield {"id": passage.id, "contents": passage.contents}
    if not digests:
        raise InputError(f"{source}: holds no passage")
    number = _first_repeated(np.frombuffer(digests, dtype=np.uint64))
    if number is not None:
        where = f"{source}: passage {number}" if is_description(source) else f"{source}:{number}"
        raise InputError(f"{where}: its id occurs twice")


def _first_repeated(digests: np.ndarray) -> int | None:
    """Number, from 1, of the first id that an earlier one equals."""
    order = np.argsort(digests, kind="stable")
    again = order[1:][digests[order][1:] == digests[order][:-1]]
    return int(again.min()) + 1 if len(again) else None


def passages_of(source: str | Path) -> Iterator[Named]:
    """(`file:line`, passage) of a JSON Lines file or of a description's files, in order."""
    if not is_description(source):
        yield from _of_file(Path(source))
        return
    files = corpus_files(source)
    for entry in files.get("passages", ()):
        yield from _of_file(local_path(entry))
    yield from of_contexts(local_path(entry) for entry in files.get("contexts", ()))


def _of_file(path: Path) -> Iterator[Named]:
    for where, row in iter_jsonl(path, ("id", "contents"), outside=True):
        yield where, passage_of(row, where)


def of_contexts(files: Iterable[Path]) -> Iterator[Named]:
    """The passages that come with questions (FlashRAG's `metadata.context`), each text once.

    HotpotQA and 2WikiMultihopQA give ten a question, the supporting ones among them.
    """
    seen: set[bytes] = set()
    for path in files:
        for where, row in iter_jsonl(path, ("id",), outside=True):
            for title, text in _context(row, where):
                key = hashlib.sha256(f"{title}\n{text}".encode()).digest()[:16]
                if text.strip() and key not in seen:
                    seen.add(key)
                    yield where, Passage(key.hex(), heading_of(title), text)


def _context(row: dict, where: str) -> list[tuple[str, str]]:
    metadata = row.get("metadata") if isinstance(row.get("metadata"), dict) else {}
    context = metadata.get("context")
    if not isinstance(context, dict) or "title" not in context:
        raise InputError(f"{where}: the question has no 'metadata.context' with passages")
    titles, texts = context["title"], context.get("sentences", context.get("content"))
    lists = isinstance(titles, list) and isinstance(texts, list)
    if not lists or len(texts) != len(titles):
        raise InputError(f"{where}: 'metadata.context' needs a text for each title")
    found = []
    for title, text in zip(titles, texts, strict=True):
        parts = [title, *(text if isinstance(text, list) else [text])]
        if not all(isinstance(part, str) for part in parts):
            raise InputError(f"{where}: 'metadata.context' must hold texts")
        check_encodable("".join(parts), "metadata.context", where)
        found.append((title, "".join(parts[1:])))
    return found
