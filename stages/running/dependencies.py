"""What a stage depends on, as dvc.yaml says it: for scratch folders and the test of dvc.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.records import read_yaml

if TYPE_CHECKING:
    from stages.params import Params

ROOT = Path(__file__).parents[2]  # where dvc.yaml and stages/ are
CODE = "stages/"
_PLACE = re.compile(r"\$\{([\w.]+)\}")


@dataclass(frozen=True)
class Dependencies:
    """`code`: files and folders below stages/, from ROOT; `params`: dotted keys of params.yaml."""

    code: tuple[str, ...]
    params: tuple[str, ...]


def dependencies(stage: str, params: Params) -> Dependencies:
    """What `agent@1` or `corpus` lists, its templates filled. KeyError if dvc.yaml has no such."""
    name, _, key = stage.partition("@")
    body = bodies()[name]

    def filled(text: str) -> str:
        return _PLACE.sub(lambda m: key if m[1] == "key" else str(value(params, m[1])), text)

    return Dependencies(
        tuple(filled(dep) for dep in body["deps"] if dep.startswith(CODE)),
        tuple(filled(name) for name in body.get("params", ())),
    )


@cache
def bodies() -> dict[str, dict]:
    """The stages of dvc.yaml by name; of a `foreach`, what it does for each."""
    stages = read_yaml(ROOT / "dvc.yaml")["stages"]
    return {name: body.get("do", body) for name, body in stages.items()}


def value(params: Params, key: str) -> object:
    """The parameter of a dotted key, as params.yaml has it."""
    found: object = params
    for name in key.split("."):
        found = found[name] if isinstance(found, dict) else getattr(found, name)
    return found.value if isinstance(found, Enum) else found
