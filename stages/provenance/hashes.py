"""Compute DVC's hashes of files and folders, to compare them with dvc.lock."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from stages.plumbing.errors import InputError


def check_hash(path: str | Path, expected: str) -> None:
    """InputError unless `path` is there and has the hash that dvc.lock gives it."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: is not here: run `dvc pull {path}`")
    if hash_of(path) != expected:
        raise InputError(f"{path}: is not what dvc.lock says: run `dvc checkout {path}`")


def hash_of(path: Path) -> str:
    """The MD5 of a file; of a folder, that of the list of its files, as DVC writes it."""
    return hash_of_listing(listing(path)) if path.is_dir() else md5_of(path)


def md5_of(file: Path) -> str:
    """The MD5 of a file's bytes, in hexadecimal."""
    with file.open("rb") as data:
        return hashlib.file_digest(data, "md5").hexdigest()


def listing(folder: Path, md5: Callable[[Path], str] = md5_of) -> list[dict]:
    """What DVC keeps of a folder: `relpath` and `md5` of each of its files, by name."""
    files = {f.relative_to(folder).as_posix(): f for f in folder.rglob("*") if f.is_file()}
    return [{"md5": md5(file), "relpath": name} for name, file in sorted(files.items())]


def hash_of_listing(listed: list[dict]) -> str:
    """The hash of a folder, which dvc.lock has."""
    whole = json.dumps(listed, sort_keys=True).encode()
    return hashlib.md5(whole, usedforsecurity=False).hexdigest() + ".dir"
