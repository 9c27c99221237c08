"""DVC's hashes of files and folders, to tell whether what is here is what dvc.lock speaks of."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from stages.plumbing.errors import InputError


def check(path: str | Path, expected: str) -> None:
    """InputError unless `path` is there and has the hash that dvc.lock gives it."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: is not here: run `dvc pull {path}`")
    if hash_of(path) != expected:
        raise InputError(f"{path}: is not what dvc.lock says: run `dvc checkout {path}`")


def hash_of(path: Path) -> str:
    """The MD5 of a file; of a folder, that of the list of its files, as DVC writes it."""
    if not path.is_dir():
        return _md5(path)
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    listed = [{"md5": _md5(file), "relpath": name} for name, file in sorted(files.items())]
    whole = json.dumps(listed, sort_keys=True).encode()
    return hashlib.md5(whole, usedforsecurity=False).hexdigest() + ".dir"


def _md5(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "md5").hexdigest()
