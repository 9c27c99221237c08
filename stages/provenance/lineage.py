"""The stages that made an output, and the hashes of all their inputs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from stages.common.records import read_yaml
from stages.plumbing.errors import InputError
from stages.plumbing.yaml_text import parse_yaml


@dataclass(frozen=True)
class LockedStage:
    """One stage as dvc.lock has it: hashes by path, parameters by block."""

    stage: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    params: dict = field(default_factory=dict)


def lineage(path: str | Path, lock_file: str | Path = "dvc.lock") -> list[LockedStage]:
    """The stage that made `path` and every stage before it; `path`'s own stage last.

    `path` is an output of a stage, or lies in one. InputError if none has it.
    """
    steps = read_lock(lock_file)
    makers = {output: step for step in steps for output in step.outputs}
    wanted = _output_of(os.path.relpath(path), makers)
    if wanted is None:
        raise InputError(f"{path}: is no output of a stage in {lock_file}")
    found: dict[str, LockedStage] = {}
    _collect(makers[wanted], makers, found)
    return list(found.values())


def _collect(
    step: LockedStage, makers: dict[str, LockedStage], found: dict[str, LockedStage]
) -> None:
    """Depth first, so that what was made earlier comes earlier."""
    for path in step.inputs:
        output = _output_of(path, makers)
        if output is not None and makers[output].stage not in found:
            _collect(makers[output], makers, found)
    found.setdefault(step.stage, step)


def _output_of(path: str, makers: dict[str, LockedStage]) -> str | None:
    """The output that `path` is, or lies in."""
    pure = PurePosixPath(path)
    places = (str(place) for place in (pure, *pure.parents))
    return next((place for place in places if place in makers), None)


def read_lock(path: str | Path) -> list[LockedStage]:
    """All stages of a dvc.lock. InputError where it is missing or of another form."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return _steps(read_yaml(path), path)  # which says what is wrong
    return parse_lock(text, path)


def parse_lock(text: str, path: str | Path) -> list[LockedStage]:
    """All stages of a lock's text, as `read_lock` does; `path` opens the message."""
    return _steps(parse_yaml(text, path, fast=True), path)


def _steps(lock: object, path: str | Path) -> list[LockedStage]:
    try:
        return [_step(name, entry) for name, entry in lock["stages"].items()]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InputError(f"{path}: is not a lock file of DVC") from None


def _step(name: str, entry: dict) -> LockedStage:
    params: dict = {}
    for block in entry.get("params", {}).values():
        params |= block
    return LockedStage(name, _hashes(entry.get("deps", [])), _hashes(entry.get("outs", [])), params)


def _hashes(files: list[dict]) -> dict[str, str]:
    return {file["path"]: file["md5"] for file in files}
