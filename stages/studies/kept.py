"""What `metrics/studies` keeps of each seed, and how rows of another clone's experiments join it.

Git refs of experiments and DVC's cache stay where they were made; the tables travel. A variant of a
seed that was run again replaces its rows. Rows of another state (stages/studies/states.py)
join only when asked to, and the tables then say so.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path

from stages.plumbing.errors import InputError
from stages.reporting.studies import read_studies
from stages.reporting.study_rows import (
    TABLES,
    ContrastResult,
    OfSeed,
    SeedRow,
    read_rows,
    table_path,
)
from stages.studies.plan import Side, Study

OF_SEEDS = ("", "labels", "seeds", "drift")  # tables with rows of each seed
SeedTables = dict[str, list]


def kept_tables(study: Study, folder: Path, names: Iterable[str] = OF_SEEDS) -> dict[str, list]:
    """The rows that `folder` holds of a study, in tables of each seed unless others are named; none
    of a file that is not there."""
    return {n: read_rows(table_path(folder, study.name, n), TABLES[n]) for n in names}


def listed(study: Study, kept: SeedTables) -> SeedTables:
    """Without the rows of seeds, variants and contrasts that the study's file does not have."""
    experiments = {(one.seed, one.variant) for one in study.experiments}
    sides = {(str(contrast.after), str(contrast.before)) for contrast in study.contrasts}

    def has(row: OfSeed) -> bool:
        if not isinstance(row, SeedRow):
            return (row.seed, row.variant) in experiments
        variants = {Side.of(side).variant for side in (row.after, row.before) if side}
        asked = row.before is None or (row.after, row.before) in sides
        return asked and all((row.seed, variant) in experiments for variant in variants)

    return {name: [row for row in rows if has(row)] for name, rows in kept.items()}


def join_rows(study: Study, kept: SeedTables, fresh: SeedTables) -> SeedTables:
    """The rows of both, by variant or contrast and seed; `fresh` ones in place of `kept` ones."""
    sides = [(str(contrast.after), str(contrast.before)) for contrast in study.contrasts]
    order = {what: n for n, what in enumerate([*study.variants, *sides])}

    def place(row: OfSeed) -> tuple:
        return order.get(_what(row), len(order)), str(_what(row)), row.seed

    left = _left(kept, {(row.seed, _what(row)) for row in _rows(fresh)})
    return {name: sorted([*left[name], *fresh[name]], key=place) for name in OF_SEEDS}


def of_other_states(kept: SeedTables, fresh: SeedTables) -> list[OfSeed]:
    """The rows of `kept` that stay and were made by other code, or with other parameters, than the
    rows of the same variant or contrast in `fresh`."""
    codes = {_code(row) for row in _rows(fresh)}
    states = _states(_rows(fresh))
    left = _left(kept, {(row.seed, _what(row)) for row in _rows(fresh)})
    return [
        row
        for row in _rows(left)
        if _code(row) not in codes or row.state not in states.get(_what(row), {row.state})
    ]


def of_other_code(kept: SeedTables, code: str, coming: set[tuple[int, Hashable]]) -> list[OfSeed]:
    """The rows that will stay beside those of the `coming` (seed, variant), and that `code` did not
    make: what can be told before hours of experiments."""
    return [row for row in _left(kept, coming)[""] if _code(row) != code]


def without(kept: SeedTables, rows: list[OfSeed]) -> SeedTables:
    """`kept` without these of its rows."""
    out = {id(row) for row in rows}
    return {name: [row for row in found if id(row) not in out] for name, found in kept.items()}


def refuse(path: Path, others: list[OfSeed]) -> None:
    """InputError if there are `others`: rows of another state than those of here."""
    if others:
        raise InputError(
            f"{path}: has rows of another state of code or parameters than the experiments of the "
            f"commit that is checked out: {_told(others)}; --join keeps both, and the tables say "
            "so, --replace leaves those rows out (experiments that have run are kept)"
        )


def mixed_states(tables: SeedTables) -> str:
    """Which states were mixed, as a sentence; empty where all rows are of one."""
    rows, states = _rows(tables), _states(tables[""])
    if len({_code(row) for row in rows}) < 2:
        rows = [row for row in tables[""] if len(states[row.variant]) > 1]
    return f"States of code or parameters were mixed: {_told(rows)}." if rows else ""


def _rows(tables: SeedTables) -> list[OfSeed]:
    return [row for name in OF_SEEDS for row in tables[name]]


def _left(kept: SeedTables, replaced: set[tuple[int, Hashable]]) -> SeedTables:
    """Without the rows of a seed's variant or contrast that are `replaced`."""
    return {
        name: [row for row in kept[name] if (row.seed, _what(row)) not in replaced]
        for name in OF_SEEDS
    }


def _what(row: OfSeed) -> Hashable:
    """What of its seed a row is about: a variant, or two sides."""
    return (row.after, row.before) if isinstance(row, SeedRow) else row.variant


def _states(rows: Iterable[OfSeed]) -> dict[Hashable, set[str | None]]:
    """What rows are about -> the states that made them."""
    found: dict[Hashable, set[str | None]] = {}
    for row in rows:
        found.setdefault(_what(row), set()).add(row.state)
    return found


def _code(row: OfSeed) -> str | None:
    """The code's part of a state."""
    return row.state and row.state.partition("-")[0]


def _told(rows: list[OfSeed]) -> str:
    """Each state with its commits and seeds: by the code, where that differs."""
    by_code = len({_code(row) for row in rows}) > 1
    groups: dict[str | None, list[OfSeed]] = {}
    for row in rows:
        groups.setdefault(_code(row) if by_code else row.state, []).append(row)
    return "; ".join(_state(name, found) for name, found in groups.items())


def _state(name: str | None, rows: list[OfSeed]) -> str:
    seeds = ", ".join(map(str, sorted({row.seed for row in rows})))
    commits = ", ".join(sorted({row.commit for row in rows if row.commit}))
    made = f"state {name} of commit {commits}" if name else "a version that told no state"
    return f"{made} (seeds {seeds})"


def claim_rows(folder: Path) -> dict[str, list[ContrastResult]]:
    """Study -> the rows of its contrasts that are primary claims, of all studies in `folder`."""
    found = {}
    for path in sorted(folder.glob("*_contrasts.csv")):
        if rows := [row for row in read_rows(path, ContrastResult) if row.claim]:
            found[path.stem.removesuffix("_contrasts")] = rows
    return found


def pilots(folder: Path) -> set[str]:
    """The studies in `folder` that keep no rows of each seed, as version 0.1.0 left them."""
    return {study.name for study in read_studies(folder) if study.pilot}
