"""What dvc.lock records of a metrics file: its stage, its parameters, its inputs."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass, field
from pathlib import Path

from stages.common.records import read_yaml
from stages.plumbing.errors import InputError
from stages.provenance.hashes import hash_of
from stages.provenance.lineage import LockedStage, read_lock

QUESTIONS = "data/questions/test"  # small enough to be hashed by every reader


@dataclass
class Lock:
    """A dvc.lock beside the parameters in force; `reason` says why figures are not of them. The
    files that it speaks of lie in `root`."""

    steps: dict[str, LockedStage]
    params: dict
    root: Path = Path()
    known: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        lock: Path = Path("dvc.lock"),
        params: Path = Path("params.yaml"),
        root: Path = Path(),
    ) -> Lock | None:
        """None where there is no such file: then nothing is known of hashes."""
        if not lock.exists():
            return None
        values = read_yaml(params)
        if not isinstance(values, dict):
            raise InputError(f"{params}: holds no parameters")
        return cls({step.stage: step for step in read_lock(lock)}, values, root)

    def reason(self, path: str | Path) -> str | None:
        """Why the file `path` is not of this run, or None: it is another file than its stage wrote,
        or the stage, or one before it, ran with other parameters or on other inputs."""
        name = _from_here(path)
        maker = self.maker(name)
        if maker is None:
            return "no stage in dvc.lock made it"
        if (file := self.root / path).exists() and hash_of(file) != maker.outputs[name]:
            return f"it is not the file that {maker.stage} wrote"
        return self.stage_reason(maker.stage)

    def maker(self, output: str) -> LockedStage | None:
        """The stage that has exactly this output."""
        return next((step for step in self.steps.values() if output in step.outputs), None)

    def stage_reason(self, stage: str) -> str | None:
        """Why a stage of the lock, or one before it, is not of this run."""
        if stage not in self.known:
            self.known[stage] = None  # a lock has no circle, an edited one might
            self.known[stage] = self._stage_reason(self.steps.get(stage))
        return self.known[stage]

    def _stage_reason(self, step: LockedStage | None) -> str | None:
        if step is None:
            return "dvc.lock does not have its stage"
        if changed := self.changed_params(step):
            return f"{step.stage} ran with another '{changed}' than params.yaml has"
        for path, digest in step.inputs.items():
            maker = self._maker_around(path)
            if maker is not None:
                if maker.outputs.get(path, digest) != digest:
                    return f"{step.stage} read another {path} than {maker.stage} has made"
                if found := self.stage_reason(maker.stage):
                    return found
            asked = self.root / path
            if path == QUESTIONS and asked.is_dir() and hash_of(asked) != digest:
                return f"{step.stage} asked other questions than those in {path}"
        return None

    def _maker_around(self, path: str) -> LockedStage | None:
        """The stage of which `path` is an output, or lies in one."""
        places = (path, *(str(parent) for parent in Path(path).parents))
        return next((found for place in places if (found := self.maker(place))), None)

    def changed_params(self, step: LockedStage) -> str | None:
        """The first parameter that the stage ran with and that has another value now."""
        for key, value in step.params.items():
            if plain(_value(self.params, key)) != plain(value):
                return key
        return None


def _from_here(path: str | Path) -> str:
    """The path as dvc.lock names it: from the root of the checkout."""
    path = Path(path)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return path.as_posix()


def _value(values: object, key: str) -> object:
    for name in key.split("."):
        values = values.get(name) if isinstance(values, dict) else None
    return values


def plain(value: object) -> object:
    """A value as it compares whichever version of YAML wrote it: `off` is a text in one and false
    in the other, 2e-05 a number or a text."""
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        words = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}
        if value.lower() in words:
            return words[value.lower()]
        return _number(value)
    return value


def _number(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text
