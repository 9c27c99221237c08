"""Curves in MLflow while a stage trains, in the same child run that the report completes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stages.params import load_params
from stages.tracking import identity
from stages.tracking.naming import run_name
from stages.tracking.runs import Runs
from stages.tracking.store import connect_store, tolerated


class Live:
    """`log(step, figures)` for a stage of an iteration; does nothing once tracking has failed."""

    def __init__(self, stage: str):
        self.stage = stage
        self.runs: Runs | None = None
        self.run = self.parent = ""
        self.last = -1  # the last step that an earlier, killed attempt logged

    def open(self, iteration: str) -> None:
        """Find the iteration's child run of the flywheel under way, or start it."""
        params = load_params()
        runs, key = Runs(*connect_store()), identity.key(params)
        runs.close_abandoned()
        under_way = runs.under_way(key)
        if under_way:
            parent = under_way[0].info.run_id
        else:
            parent = runs.new_parent(key, run_name(params), identity.flat(params))
        children = runs.children(parent).get(iteration)
        self.parent = parent
        self.run = children[0].info.run_id if children else runs.new_child(parent, iteration)
        steps = (step for name, step, _ in runs.points(self.run) if self._own(name))
        self.last = max(steps, default=-1)
        for run in (parent, self.run):
            runs.take(run)
        self.runs = runs

    def _own(self, name: str) -> bool:
        return name.startswith(f"{self.stage}/")

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Add one point a figure; steps that an earlier attempt has logged are skipped."""
        if self.runs is None or step <= self.last:
            return
        runs, self.runs = self.runs, None
        with tolerated("logging a step"):
            runs.log_points(self.run, curve_points(self.stage, [{**metrics, "step": step}]))
            self.runs = runs

    def close(self, status: str) -> None:
        """End the iteration's run; the flywheel's goes on unless the stage failed."""
        if self.runs is None:
            return
        with tolerated("closing the run"):
            self.runs.client.set_terminated(self.run, status)
            if status != "FINISHED":
                self.runs.client.set_terminated(self.parent, status)


def curve_points(stage: str, rows: list[dict[str, float]]) -> list[tuple[str, int, float]]:
    """The points of a curve: `agent/reward` at each `step`. NaN is a point, and is shown."""
    return [
        (f"{stage}/{name}", int(row["step"]), float(value))
        for row in rows
        for name, value in row.items()
        if name != "step"
    ]


@contextmanager
def live(stage: str, iteration: str) -> Iterator[Live]:
    """Track `stage` of `iteration` as it runs: `with live("agent", "1") as run: run.log(...)`.

    Whatever goes wrong in the store is said in one line, and the block runs on untracked.
    """
    tracked = Live(stage)
    with tolerated("opening the run"):
        tracked.open(iteration)
    try:
        yield tracked
    except BaseException:
        tracked.close("FAILED")
        raise
    tracked.close("FINISHED")
