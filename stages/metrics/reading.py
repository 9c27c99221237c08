"""Metrics files as checked objects: the only place that reads `metrics/*.json`.

What is refused is one InputError with file and key: text that is not JSON, NaN and infinities, a
key that occurs twice, a value of the wrong kind or out of its range, counts that do not balance.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePath

from stages.common.evaluations import Evaluation
from stages.common.records import invalid_json
from stages.metrics.fields import Wrong
from stages.metrics.health import IterationHealth
from stages.metrics.schema import SCHEMAS
from stages.plumbing.errors import InputError


def read(path: str | Path, kind: str | None = None, *, partial: bool = False) -> dict:
    """The figures in a metrics file, by the schema `kind`: that of its folder or of its name.

    `partial`: what is missing is not asked for, what is there is checked.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not valid UTF-8") from None
    return checked(text, str(path), kind or schema_of(path), partial)


def read_evaluation(path: str | Path) -> Evaluation:
    """What a pair measured."""
    return Evaluation.of(read(path, "evaluate"))


def read_health(path: str | Path) -> IterationHealth:
    """Which signatures an iteration shows."""
    return IterationHealth.of(read(path, "health"))


def schema_of(path: str | Path) -> str:
    """Which schema a metrics file has: `metrics/pairs/1.json` that of pairs."""
    path = PurePath(path)
    for name in (path.parent.name, path.stem):
        if name in SCHEMAS:
            return name
    raise InputError(f"{path}: is no metrics file of a stage")


def checked(text: str, where: str, kind: str, partial: bool = False) -> dict:
    """The JSON object `text` by a schema; `where` opens the message of an InputError."""
    try:
        value = json.loads(text, object_pairs_hook=_once)
        SCHEMAS[kind].check(value, "", partial)
    except Wrong as error:
        raise InputError(f"{where}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise invalid_json(where, error) from None
    return value


def read_usage(path: Path) -> list[dict]:
    """What stages took (stages/plumbing/usage.py), a run a line; empty where nothing was."""
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not valid UTF-8") from None
    try:
        return [checked(line, f"{path}:{n}", "usage") for n, line in enumerate(lines, 1)]
    except InputError as error:
        raise InputError(f"{error}; take the line out, the file is only a log") from None


def _once(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Wrong(f"the key {twice[:40]!a} occurs twice")
    return found
