"""Work in progress that survives kill -9.

DVC deletes a stage's outputs before it starts the stage, so long stages keep finished pieces in a
git-ignored folder named by the fingerprint of their inputs, parameters and code, and move the
whole result into place at the end. A changed input gives another folder: old pieces are never
seen by a run that they do not belong to.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.records import read_jsonl, write_jsonl
from stages.plumbing.errors import InputError
from stages.running import dependencies as declared

if TYPE_CHECKING:
    from stages.params import Params

ROOT = Path("tmp/scratch")
LOCK = "running.lock"
SAVING = "saving"  # holds the shard that is being written
GUARDS = ("max_dropped",)  # end a stage, and change none of the rows that it made
FORMAT = 2  # of what is kept in a folder: another one is not gone on with


class Scratch:
    """The scratch folder of one run of a stage: `with Scratch("agent@1", fingerprint) as scratch`.

    The folder is removed when the block ends without an exception, and kept otherwise. One process
    at a time: the system frees the lock of one that died. InputError for a second.
    """

    def __init__(self, stage: str, fingerprint: str):
        self.path = ROOT / f"{stage}-{fingerprint[:16]}"

    def __enter__(self) -> Scratch:
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.path / LOCK, "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{self.path}: another process is at work on this stage") from None
        return self

    def __exit__(self, kind, value, trace) -> None:
        if kind is None:
            shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()

    def has(self, name: str) -> bool:
        """Whether the rows of shard `name` are saved, by this attempt or an earlier one."""
        return self._file(name).exists()

    def save(self, name: str, rows: list[dict]) -> None:
        """Keep the rows of shard `name`.

        Written in a folder of its own: a writer looks through the folder that it writes into, which
        holds as many files as there are shards.
        """
        written = self.path / SAVING / f"{name}.jsonl"
        write_jsonl(written, rows)
        os.replace(written, self._file(name))

    def rows(self, name: str) -> list[dict]:
        """The rows of a saved shard."""
        return read_jsonl(self._file(name), required=())

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.jsonl"


@dataclasses.dataclass(frozen=True)
class Leftover:
    """A scratch folder: `name` is STAGE-FINGERPRINT, `size` in bytes, `changed` in Unix seconds."""

    name: str
    size: int
    changed: float
    running: bool


def leftovers() -> list[Leftover]:
    """All scratch folders, the one that changed last first."""
    found = []
    for folder in ROOT.glob("*"):
        states = [file.stat() for file in _files(folder)]
        changed = max((state.st_mtime for state in states), default=0.0)
        size = sum(state.st_size for state in states)
        found.append(Leftover(folder.name, size, changed, _running(folder)))
    return sorted(found, key=lambda leftover: -leftover.changed)


def _running(folder: Path) -> bool:
    try:
        with open(folder / LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False


def fingerprint(stage: str, params: Params, *inputs: str | Path) -> str:
    """SHA-256 over what `stage` (agent@1) depends on: the parameters and the code that dvc.yaml
    lists for it, the files or folders `inputs`, and the versions of what writes scratch folders.

    InputError names a file that cannot be read.
    """
    known = declared.dependencies(stage, params)
    values = {key: declared.value(params, key) for key in known.params}
    return inputs_digest([stage, values], *inputs, *(declared.ROOT / path for path in known.code))


def inputs_digest(values: object, *paths: str | Path) -> str:
    """SHA-256 over plain values (dataclasses too), files or folders, and versions."""
    written = json.dumps([_versions(), _plain(values)], sort_keys=True, default=str)
    hashed = hashlib.sha256(written.encode())
    for path in paths:
        for file in _files(Path(path)):
            hashed.update(str(file).encode() + b"\0")
            try:
                with open(file, "rb") as stream:
                    hashed.update(hashlib.file_digest(stream, "sha256").digest())
            except OSError as error:
                raise InputError(f"{file}: cannot be read ({error.strerror})") from None
    return hashed.hexdigest()


def _versions() -> list:
    return [FORMAT, *(metadata.version(name) for name in ("torch", "transformers"))]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = (f for f in path.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
        return sorted(found)
    return [path]


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in GUARDS}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
