"""Recognise a run that MLflow already has, so that none is tracked twice.

A flywheel under way is known by its parameters; a finished one by its parameters and all figures.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common import portable
from stages.params import Params
from stages.plumbing.errors import InputError
from stages.plumbing.yaml_text import parse_yaml
from stages.provenance.origin import git

if TYPE_CHECKING:
    from stages.reporting.results import Results


LAYOUT = "2"  # of runs and traces; a finished run of another one is made anew


def key(params: Params) -> str:
    """Digest of the parameters that a result depends on, and the experiment's name."""
    return _digest([flat(params), os.environ.get("DVC_EXP_NAME", "")])


def results_digest(results: Results, params: Params) -> str:
    """Digest of parameters and figures: equal for a run and its rebuild from the metrics."""
    return _digest([flat(params), dataclasses.asdict(results)])


def flat(params: Params) -> dict[str, str]:
    """`agent.steps` -> `40`; without `compute`, on which no result depends, and `last_iteration`,
    which says nothing that `iterations` does not."""
    tree = dataclasses.asdict(params)
    del tree["compute"], tree["last_iteration"]
    return _flatten(tree)


def _flatten(tree: dict, prefix: str = "") -> dict[str, str]:
    found = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= _flatten(value, f"{prefix}{name}.")
        else:
            plain = value.value if isinstance(value, Enum) else value
            found[f"{prefix}{name}"] = plain if isinstance(plain, str) else json.dumps(plain)
    return found


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def origin() -> dict[str, str]:
    """Tags that say where a run comes from: git commit, dvc.lock, experiment name, and whether its
    sums are those of every x86-64 processor."""
    tags = {
        "mlflow.source.git.commit": git("rev-parse", "HEAD"),
        "dvc_lock": _lock(Path("dvc.lock")),
        "dvc_experiment": os.environ.get("DVC_EXP_NAME"),
        "portable": str(portable.is_on()).lower(),
    }
    return {name: value for name, value in tags.items() if value}


def _lock(path: Path) -> str | None:
    """Digest of dvc.lock without the report's own entry, which is written after the report."""
    try:
        lock = parse_yaml(path.read_text(encoding="utf-8"), path, fast=True)
        others = {name: entry for name, entry in lock["stages"].items() if name != "report"}
        return _digest(others)
    except (OSError, InputError, ValueError, LookupError, TypeError, AttributeError):
        return None
