"""Write an output folder as a whole: the old one stays until the new one is complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(folder: str | Path) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `folder` where the block ends well.

    Where it does not, `folder` is as it was.
    """
    folder = Path(folder)
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # of a process that was killed here
    new.mkdir(parents=True)
    try:
        yield new
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(new, folder)


def as_umask(folder: str | Path) -> None:
    """Give the files in `folder` the mode of any new file: safetensors writes 0600."""
    folder = Path(folder)
    probe = folder / ".mode"
    probe.touch()
    mode = probe.stat().st_mode & 0o777
    probe.unlink()
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(mode)
