"""What a study file asks for: experiments, and the contrasts between what they measure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stages.errors import InputError
from stages.records import read_yaml


@dataclass(frozen=True)
class Experiment:
    """One variant with one seed; `overrides` as `dvc exp run -S` takes them, and the stages that
    are wanted (none: all)."""

    variant: str
    seed: int
    overrides: tuple[str, ...]
    targets: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The experiment's name in DVC; studies that share a variant share its experiments."""
        return f"{self.variant.replace('_', '-')}-seed{self.seed}"


@dataclass(frozen=True)
class Side:
    """One (agent, retriever) pair of one variant."""

    variant: str
    agent: str
    retriever: str


@dataclass(frozen=True)
class Contrast:
    """A question that the study asks: what does `after` gain over `before`?"""

    name: str
    after: Side
    before: Side


@dataclass(frozen=True)
class Study:
    """Experiments variant by variant; `price`, `transfer` and `accuracy` name the variants of those
    tables, `groups` the contrasts that are also shown by group of questions."""

    name: str
    experiments: list[Experiment]
    contrasts: list[Contrast]
    price: list[str] = field(default_factory=list)
    transfer: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    accuracy: list[str] = field(default_factory=list)


def read_study(path: Path) -> Study:
    """The study in `path`. InputError names what is wrong.

    A variant that another study of the same folder has too must be defined alike there, since the
    two share its experiments.
    """
    row = read_yaml(path)
    try:
        variants = {name: tuple(overrides) for name, overrides in row["variants"].items()}
        found = Study(
            path.stem,
            [
                Experiment(variant, int(seed), overrides, tuple(row.get("targets", ())))
                for variant, overrides in variants.items()
                for seed in row["seeds"]
            ],
            [
                Contrast(one["name"], Side(*one["after"]), Side(*one["before"]))
                for one in row.get("contrasts", [])
            ],
            list(row.get("price", [])),
            list(row.get("transfer", [])),
            list(row.get("groups", [])),
            list(row.get("accuracy", [])),
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InputError(
            f"{path}: expected 'seeds' (a list), 'variants' (lists of overrides by name) and "
            "'contrasts' (a list of: name, after and before, each [variant, agent, retriever])"
        ) from None
    named = [side.variant for c in found.contrasts for side in (c.after, c.before)]
    for variant in [*named, *found.price, *found.transfer, *found.accuracy]:
        if variant not in variants:
            raise InputError(f"{path}: has no variant '{variant}'")
    for name in found.groups:
        if name not in [contrast.name for contrast in found.contrasts]:
            raise InputError(f"{path}: 'groups' names '{name}', which is no contrast")
    _check_shared(path, variants)
    return found


def _check_shared(path: Path, variants: dict[str, tuple[str, ...]]) -> None:
    for other in sorted(path.parent.glob("*.yaml")):
        row = read_yaml(other)
        theirs = row.get("variants") if isinstance(row, dict) else None
        for name, overrides in (theirs or {}).items():
            if name in variants and tuple(overrides) != variants[name]:
                raise InputError(f"{path}: the variant '{name}' is another one in {other}")
