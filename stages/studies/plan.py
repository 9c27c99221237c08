"""Parse a study file: its experiments, and the contrasts between them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stages.common.records import read_yaml
from stages.plumbing.errors import InputError


@dataclass(frozen=True)
class Experiment:
    """One variant with one seed; `overrides` as `dvc exp run -S` takes them, and the stages that
    are wanted (none: all)."""

    variant: str
    seed: int
    overrides: tuple[str, ...]
    targets: tuple[str, ...] = ()
    own_base: bool = False  # its base agent and judge follow the seed

    @property
    def name(self) -> str:
        """The experiment's name in DVC; studies that share a variant share its experiments."""
        return f"{_dashed(self.variant)}-seed{self.seed}"


@dataclass(frozen=True)
class Side:
    """One (agent, retriever) pair of one variant; as text VARIANT/AGENT/RETRIEVER."""

    variant: str
    agent: str
    retriever: str

    def __str__(self) -> str:
        return f"{self.variant}/{self.agent}/{self.retriever}"

    @staticmethod
    def of(text: str) -> Side:
        """The side that is written so."""
        return Side(*text.rsplit("/", 2))


@dataclass(frozen=True)
class Contrast:
    """A question that the study asks: what does `after` gain over `before`?"""

    name: str
    after: Side
    before: Side


@dataclass(frozen=True)
class Study:
    """Experiments variant by variant; `price`, `transfer`, `accuracy`, `drift` and `grid` name the
    variants of those tables, `groups` the contrasts that are also shown by group of questions,
    `claims` the primary ones (docs/statistics.md). `base_of_each_seed`: whether seed s has a base
    agent and a judge of its own, those of `base.seed=s`; else all seeds have those of the
    parameters."""

    name: str
    experiments: list[Experiment]
    contrasts: list[Contrast]
    price: tuple[str, ...] = ()
    transfer: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    accuracy: tuple[str, ...] = ()
    drift: tuple[str, ...] = ()
    grid: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    base_of_each_seed: bool = False

    @property
    def variants(self) -> list[str]:
        """All of them, in order."""
        return list(dict.fromkeys(experiment.variant for experiment in self.experiments))

    def overrides(self, variant: str) -> tuple[str, ...]:
        """What a variant changes (with a base of each seed, as its first seed does)."""
        return next(e.overrides for e in self.experiments if e.variant == variant)


TABLES = ("price", "transfer", "accuracy", "drift", "grid")  # keys that list variants
OF_CONTRASTS = ("groups", "claims")  # keys that list contrasts


def read_study(path: Path) -> Study:
    """The study in `path`. InputError names what is wrong.

    A variant that another study of the same folder has too must be defined alike there, since the
    two share its experiments.
    """
    row = read_yaml(path)
    variants, targets = _variants(path, row), _texts(path, row, "targets")
    contrasts = [_contrast(path, one) for one in _list(path, row, "contrasts")]
    shown = {key: _texts(path, row, key) for key in (*TABLES, *OF_CONTRASTS)}
    sides = [side.variant for c in contrasts for side in (c.after, c.before)]
    for variant in [*sides, *(name for key in TABLES for name in shown[key])]:
        if variant not in variants:
            raise InputError(f"{path}: has no variant '{variant}'")
    names = [contrast.name for contrast in contrasts]
    if len({*names}) < len(names):
        raise InputError(f"{path}: two contrasts have the same name")
    for key in OF_CONTRASTS:
        for place, name in enumerate(shown[key]):
            if name not in names:
                raise InputError(f"{path}: '{key}' names '{name}', which is no contrast")
            if name in shown[key][:place]:
                raise InputError(f"{path}: '{key}' names '{name}' twice")
    own_base = _own_base(path, row)
    _check_shared(path, variants, targets, own_base)
    experiments = [
        Experiment(variant, seed, (*_base(seed, own_base), *overrides), targets, own_base)
        for variant, overrides in variants.items()
        for seed in _seeds(path, row)
    ]
    return Study(path.stem, experiments, contrasts, **shown, base_of_each_seed=own_base)


def _base(seed: int, own: bool) -> tuple[str, ...]:
    return (f"base.seed={seed}",) if own else ()


def _own_base(path: Path, row: dict) -> bool:
    own = row.get("base_of_each_seed", False)
    if not isinstance(own, bool):
        raise InputError(f"{path}: 'base_of_each_seed' must be true or false, found {own!r}")
    return own


def _variants(path: Path, row: object) -> dict[str, tuple[str, ...]]:
    variants = row.get("variants") if isinstance(row, dict) else None
    if not isinstance(variants, dict) or not all(isinstance(name, str) for name in variants):
        raise InputError(f"{path}: expected 'seeds' (a list) and 'variants' (by name)")
    found, names = {name: _texts(path, variants, name) for name in variants}, {}
    for name in found:
        if names.setdefault(_dashed(name), name) != name:
            other = names[_dashed(name)]
            raise InputError(f"{path}: experiments of '{other}' and '{name}' have the same names")
    return found


def _seeds(path: Path, row: dict) -> list[int]:
    seeds = _list(path, row, "seeds")
    whole = all(type(seed) is int and seed >= 0 for seed in seeds)
    if not seeds or not whole or len({*seeds}) < len(seeds):
        raise InputError(
            f"{path}: 'seeds' must be a list of whole numbers from 0, each of them once"
        )
    return seeds


def _contrast(path: Path, row: object) -> Contrast:
    """One contrast; iterations may be written as numbers."""
    sides = [row.get(key) for key in ("after", "before")] if isinstance(row, dict) else []
    parts = [part for side in sides for part in (side if isinstance(side, list) else [])]
    three = all(isinstance(side, list) and len(side) == 3 for side in sides)
    if not sides or not three or not all(type(p) in (str, int) for p in [row.get("name"), *parts]):
        raise InputError(
            f"{path}: 'contrasts' must be a list of: name, after and before, the last two each "
            f"[variant, agent, retriever]; found {row}"
        )
    return Contrast(str(row["name"]), *(Side(*map(str, side)) for side in sides))


def _list(path: Path, row: dict, key: str) -> list:
    found = row.get(key, [])
    if not isinstance(found, list):
        raise InputError(f"{path}: '{key}' must be a list")
    return found


def _texts(path: Path, row: dict, key: str) -> tuple[str, ...]:
    found = _list(path, row, key)
    if not all(isinstance(text, str) for text in found):
        raise InputError(f"{path}: '{key}' must be a list of texts")
    return tuple(found)


def _check_shared(
    path: Path, variants: dict[str, tuple[str, ...]], targets: tuple[str, ...], own_base: bool
) -> None:
    """InputError if an experiment of another study has the name of one here and is another."""
    wanted = {*targets}, own_base
    here = {_dashed(name): (overrides, *wanted) for name, overrides in variants.items()}
    for other in sorted(path.parent.glob("*.yaml")):
        row = read_yaml(other)
        if not isinstance(row, dict) or "variants" not in row:
            continue  # no study
        there = {*_texts(other, row, "targets")}, _own_base(other, row)
        for name, overrides in _variants(other, row).items():
            if here.get(_dashed(name), (overrides, *there)) != (overrides, *there):
                raise InputError(
                    f"{path}: the variant '{name}' is another one in {other}, or has other targets "
                    "or another 'base_of_each_seed'"
                )


def _dashed(variant: str) -> str:
    return variant.replace("_", "-")
