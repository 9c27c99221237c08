"""A study's grid as a heat map: what retrievers learned from down, what they read across."""

from __future__ import annotations

from dataclasses import dataclass

from stages.reporting.study_rows import GridRow


@dataclass(frozen=True)
class Shade:
    """A variant's place in the colours: `share` of the way from the worst to the best, and whether
    it is one of these (as printed, so that equal figures are named alike)."""

    row: GridRow
    share: float
    best: bool
    worst: bool


@dataclass(frozen=True)
class HeatMap:
    """`lines` as rows, `inputs` as columns; a combination that no variant is has no cell, one of
    several variants has all of them."""

    lines: list[str]
    inputs: list[str]
    cells: dict[tuple[str, str], list[Shade]]
    best: list[GridRow]
    worst: list[GridRow]


def heat_map(rows: list[GridRow]) -> HeatMap:
    """The grid of one row or more."""
    printed = {row.variant: f"{100 * row.em:.1f}" for row in rows}
    ends = [pick(rows, key=lambda row: row.em).em for pick in (min, max)]
    worst, best = (f"{100 * em:.1f}" for em in ends)
    cells: dict[tuple[str, str], list[Shade]] = {}
    for row in rows:
        share = (row.em - ends[0]) / (ends[1] - ends[0]) if worst != best else 0.5
        text = printed[row.variant]
        shade = Shade(row, round(share, 2), text == best, text == worst)
        cells.setdefault((line_name(row), row.input), []).append(shade)
    lines = dict.fromkeys(line_name(row) for row in sorted(rows, key=_place))
    return HeatMap(
        list(lines),
        list(dict.fromkeys(row.input for row in rows)),
        cells,
        [row for row in rows if printed[row.variant] == best],
        [row for row in rows if printed[row.variant] == worst],
    )


def _place(row: GridRow) -> tuple:
    """Limited numbers of instances first, then by source and what was changed of it."""
    return row.instances is None, row.instances or 0, row.source, row.missed, row.false


def line_name(row: GridRow) -> str:
    """What a retriever learned from, apart from its weights."""
    return f"{source_name(row)}, {instances_name(row)}"


def source_name(row: GridRow) -> str:
    """Where the labels come from, and what was taken away and added."""
    changed = {"missed": row.missed, "false": row.false}
    told = [f"{100 * share:.0f} % {name}" for name, share in changed.items() if share]
    name = row.source.replace("_", " ")
    return f"{name} ({', '.join(told)})" if told else name


def instances_name(row: GridRow) -> str:
    """How many instances it learned from."""
    return "all instances" if row.instances is None else f"{row.instances:,} instances"
