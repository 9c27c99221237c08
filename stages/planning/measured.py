"""Measured values of iteration 1, which replace the plan's assumptions.

Git brings the figures of the committed run, whose parameters need not be those that are planned. So
a figure counts only where dvc.lock says that the stages behind it ran with the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from stages.metrics.lock import Lock
from stages.metrics.reading import read
from stages.planning.sizes import Sizes
from stages.provenance.hashes import hash_of
from stages.rollout.limits import limits_told

MOST_CUT = 0.01  # share of searches or questions
METRICS = {  # of Sizes: the stages behind it, the file and the key of the figure
    "passages": (("corpus",), "index/0.json", "in"),
    "searches": (("base", "trajectories@1"), "trajectories/1.json", "searches"),
    "visits": (("base", "trajectories@1"), "trajectories/1.json", "visits"),
    "selected": (("base", "pairs@1"), "pairs/1.json", "positive_selection_rate"),
    "lazy_share": (("base", "correctness@1"), "correctness/1.json", "saved_share"),
}


def with_measured(assumed: Sizes, params: Path, metrics: Path, lock: Path) -> Sizes:
    """`assumed`, with what the run with the parameters in the file `params` has measured."""
    locked = Lock.read(lock, params)
    found = {}
    for field, (behind, name, key) in METRICS.items():
        file = metrics / name
        if locked is None or not file.exists() or not _of_this_run(locked, behind, name, file):
            continue
        row = read(file, partial=True)
        if (figure := row.get(key)) is None:
            continue
        if field == "lazy_share":
            found |= _rolled_out(1 - figure, row)
        elif field == "visits":
            found |= {field: figure / row["queries"]} if row.get("queries") else {}
        else:
            found[field] = figure
    return replace(assumed, measured=tuple(sorted(found)), **found)


def _rolled_out(share: float, row: dict) -> dict[str, float]:
    """`lazy_share` from the share of the rollouts of all queries, and `visited` where a run counted
    the queries that a visit made needless."""
    if not row.get("visited") or not row.get("in"):
        return {"lazy_share": share}
    visited = row["visited"] / row["in"]
    left = 1 - visited
    return {"visited": visited} | ({"lazy_share": min(share / left, 1.0)} if left else {})


def _of_this_run(lock: Lock, behind: tuple[str, ...], name: str, file: Path) -> bool:
    """Whether the stages behind a figure ran with these parameters, and the file is theirs."""
    steps = [lock.steps.get(stage) for stage in behind]
    if not all(step is not None and lock.changed_params(step) is None for step in steps):
        return False
    maker = lock.maker(f"metrics/{name}")
    return maker is None or hash_of(file) == maker.outputs[f"metrics/{name}"]


def limits_warned(iterations: Iterable[str], params: Path, metrics: Path, lock: Path) -> list[str]:
    """A sentence for each iteration whose trajectories these parameters' limits cut too often."""
    locked = Lock.read(lock, params)
    said = []
    for iteration in iterations if locked is not None else ():
        name = f"trajectories/{iteration}.json"
        behind = ("base", f"trajectories@{iteration}")
        if not (metrics / name).exists():
            continue
        if _of_this_run(locked, behind, name, metrics / name):
            told = limits_told(read(metrics / name, partial=True), MOST_CUT)
            said += (
                [f"Iteration {iteration}: {'; '.join(told)}: see the limits in 'rollout'."]
                if told
                else []
            )
    return said
