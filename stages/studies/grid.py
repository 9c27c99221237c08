"""The grid of a study: what each variant's retriever learned from and reads, by its overrides."""

from __future__ import annotations

import tempfile
from pathlib import Path

from stages.reporting.study_rows import GridRow
from stages.selection.rule import OF_VISITS
from stages.studies.plan import Study
from stages.studies.seeds import SeedTable
from stages.studies.tables import own_level


def grid_rows(study: Study, table: SeedTable) -> list[GridRow]:
    """A row for each variant of the study's `grid` that some seed has: Agent_1 with its R_1."""
    rows = []
    for variant in study.grid:
        em, searches = (own_level(table, variant, key) for key in ("em", "searches"))
        if em is None or searches is None:
            continue
        rows.append(
            GridRow(
                variant=variant,
                **_cell(study.overrides(variant)),
                seeds=em.interval.seeds,
                **em.cells("em"),
                **searches.cells("searches"),
                states=em.states,
            )
        )
    return rows


def _cell(overrides: tuple[str, ...]) -> dict:
    """Where a variant stands in the grid, from the parameters that its overrides compose."""
    from stages.composing.compose import compose_unchecked
    from stages.params import load_params

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "params.yaml"
        compose_unchecked(file, [*overrides])
        params = load_params(file)
    visits, pairs, retriever = params.visits, params.pairs, params.retriever
    weighs = {
        "instances by reasoning": retriever.instance_weights,
        "negatives by tier": retriever.tier_weights is not None,
    }
    return {
        "source": pairs.source.name,
        "missed": visits.miss if pairs.source in OF_VISITS else 0.0,
        "false": visits.false if pairs.source in OF_VISITS else 0.0,
        "instances": pairs.instances,
        "weights": ", ".join(name for name, on in weighs.items() if on) or "none",
        "input": retriever.input,
    }
