"""Repair DVC's own files after a full disk. `make repro` runs this before DVC.

DVC writes its list of running stages (.dvc/tmp/rwlock) and dvc.lock in place, so a disk that is
full to the last byte leaves them empty, and every later command of DVC fails, even with room again.
Such a file is moved aside, and dvc.lock comes back as git has it: what was run since, DVC takes
from its cache, but for a stage whose outputs it had no room to copy there. So that `dvc commit` can
keep those, the exit code is then 1, once. Nothing is touched while a dvc runs in this checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.common.records import write_text
from stages.plumbing.errors import InputError, run
from stages.provenance.lineage import read_lock

TMP = Path(".dvc/tmp")
RUNNING, LOCK = TMP / "rwlock", Path("dvc.lock")


def main(argv: list[str] | None = None) -> int:
    """Move aside what DVC could not read; 1 if dvc.lock was. InputError if a dvc runs here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args(argv)
    broken = [file for file in (RUNNING, LOCK) if file.exists() and not _readable(file)]
    if not broken:
        return 0
    with _no_dvc(broken[0]):
        for file in broken:
            print(f"{file}: cannot be read (was the disk full?): moved to {_aside(file)}")
    if LOCK not in broken:
        return 0
    if (text := _of_git(LOCK)) is not None:
        write_text(LOCK, text)
    print(
        f"{LOCK}: {'as git has it' if text else 'git has none'}; what was run since comes from "
        "DVC's cache. If a stage ended just before: `dvc commit STAGE` keeps its outputs, which "
        "DVC else makes again. Then start again"
    )
    return 1


def _readable(file: Path) -> bool:
    if file == LOCK:
        try:
            read_lock(file)
        except InputError:
            return False
        return True
    from dvc.rwlock import SCHEMA
    from voluptuous import Invalid

    try:
        SCHEMA(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, Invalid):
        return False
    return True


@contextmanager
def _no_dvc(file: Path) -> Iterator[None]:
    """Hold DVC's locks. InputError if a dvc holds one, or runs a stage (it then holds none)."""
    import psutil
    from dvc.lock import LockError, make_lock

    wait = InputError(f"{file}: cannot be read, and a dvc runs here: start again when it has ended")
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words, folder = process.info["cmdline"] or [], Path(process.info["cwd"] or "/")
        named = any(Path(word).name == "dvc" for word in words[:3])
        if named and folder.is_relative_to(Path.cwd()):
            raise wait
    TMP.mkdir(parents=True, exist_ok=True)
    try:
        with make_lock(str(TMP / "lock")), make_lock(str(TMP / "rwlock.lock")):
            yield
    except LockError:
        raise wait from None


def _aside(file: Path) -> Path:
    """Move `file` to a name that is free in DVC's own folder."""
    number = 1
    while (place := TMP / f"{file.name}.broken{number}").exists():
        number += 1
    os.replace(file, place)
    return place


def _of_git(file: Path) -> str | None:
    """What the last commit has of `file`."""
    command = ["git", "show", f"HEAD:./{file}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


if __name__ == "__main__":
    run(main)
