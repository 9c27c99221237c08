"""What turn 1 of a run measured, in place of assumptions.

Git brings the figures of the committed run, whose parameters need not be those that are planned. So
a figure counts only where dvc.lock says that the stages behind it ran with the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from stages.common.records import read_json, read_yaml
from stages.planning.sizes import Sizes
from stages.rollout.limits import limits_told

MOST_CUT = 0.01  # share of searches or questions
FIGURES = {  # of Sizes: the stages behind it, the file and the key of the figure
    "passages": (("corpus",), "index/0.json", "in"),
    "searches": (("base", "trajectories@1"), "trajectories/1.json", "searches"),
    "selected": (("base", "pairs@1"), "pairs/1.json", "positive_selection_rate"),
    "lazy_share": (("base", "correctness@1"), "correctness/1.json", "saved_share"),
}


def with_measured(assumed: Sizes, params: Path, metrics: Path, lock: Path) -> Sizes:
    """`assumed`, with what the run with the parameters in the file `params` has measured."""
    values = read_yaml(params)
    stages = (read_yaml(lock) or {}).get("stages", {}) if lock.exists() else {}
    found = {}
    for field, (behind, name, key) in FIGURES.items():
        file = metrics / name
        if not file.exists() or not all(_ran_with(values, stages.get(s)) for s in behind):
            continue
        figure = read_json(file).get(key)
        if figure is not None:
            found[field] = 1 - figure if field == "lazy_share" else figure
    return replace(assumed, measured=tuple(sorted(found)), **found)


def limits_warned(turns: Iterable[str], params: Path, metrics: Path, lock: Path) -> list[str]:
    """A sentence for each turn whose trajectories, with these parameters, limits cut too often."""
    values = read_yaml(params)
    stages = (read_yaml(lock) or {}).get("stages", {}) if lock.exists() else {}
    said = []
    for turn in turns:
        file = metrics / "trajectories" / f"{turn}.json"
        ran = all(_ran_with(values, stages.get(s)) for s in ("base", f"trajectories@{turn}"))
        if ran and file.exists() and (told := limits_told(read_json(file), MOST_CUT)):
            said.append(f"Turn {turn}: {'; '.join(told)}: see the limits in 'rollout'.")
    return said


def _ran_with(values: dict, entry: dict | None) -> bool:
    """Whether a stage's entry in dvc.lock was made with the parameters `values`."""
    if entry is None:
        return False
    ran = entry.get("params", {}).get("params.yaml", {})
    return all(_value(values, key) == value for key, value in ran.items())


def _value(values: dict, key: str) -> object:
    for name in key.split("."):
        values = values.get(name) if isinstance(values, dict) else None
    return values
