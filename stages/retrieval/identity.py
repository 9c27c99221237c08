"""The digest that ties an index to the retriever that built it."""

from __future__ import annotations

import hashlib
from pathlib import Path


def retriever_digest(folder: str | Path) -> str:
    """SHA-256 over the names and bytes of a retriever folder's files, its card left out."""
    total = hashlib.sha256()
    for file in sorted(Path(folder).rglob("*")):
        if file.is_file() and file.name != "README.md":
            total.update(f"{file.relative_to(folder).as_posix()}\0".encode())
            with open(file, "rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()
