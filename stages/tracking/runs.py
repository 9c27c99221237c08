"""MLflow runs of a flywheel: a parent, and a child run an iteration, found again by their tags."""

from __future__ import annotations

import time
from dataclasses import dataclass

from stages.tracking import owner

PARAMS_A_CALL, METRICS_A_CALL = 100, 1000  # limits of MLflow's log_batch

Point = tuple[str, int, float]  # name, step, value


@dataclass
class Runs:
    """The store's runs of our experiment; methods talk to MLflow and may raise."""

    client: object
    experiment: str

    def under_way(self, key: str) -> list:
        """Unfinished parent runs with this key, the newest first."""
        found = self._search(f"tags.flywheel_key = '{key}'")
        return [run for run in found if "flywheel_digest" not in run.data.tags]

    def finished(self, digest: str) -> list:
        """Finished parent runs with these figures, the newest first."""
        return self._search(f"tags.flywheel_digest = '{digest}'")

    def children(self, parent: str) -> dict[str, list]:
        """Iteration -> child runs of `parent`, the newest first."""
        found: dict[str, list] = {}
        for run in self._search(f"tags.`mlflow.parentRunId` = '{parent}'"):
            found.setdefault(run.data.tags.get("iteration", ""), []).append(run)
        return found

    def close_abandoned(self) -> list[str]:
        """Close as KILLED the runs that are RUNNING and whose process is gone; their ids.

        A run without the tag of a process is from before there was one: it counts as gone.
        """
        parents = {run.info.run_id: run for run in self._search("attributes.status = 'RUNNING'")}
        gone = []
        for name, run in parents.items():
            if not owner.alive(run.data.tags.get(owner.TAG)):
                self.client.set_terminated(name, "KILLED")
                gone.append(name)
        return gone

    def take(self, run: str) -> None:
        """Mark a run as under way, by the process that this one belongs to."""
        self.client.set_tag(run, owner.TAG, owner.mine())
        self.client.update_run(run, status="RUNNING")

    def _search(self, condition: str) -> list:
        order = ["attributes.start_time DESC"]
        return list(self.client.search_runs([self.experiment], condition, order_by=order))

    def new_parent(self, key: str, name: str, params: dict[str, str]) -> str:
        """Start a parent run called `name` with its parameters; returns its id."""
        run = self.client.create_run(
            self.experiment,
            tags={"flywheel_key": key, "mlflow.runName": name, owner.TAG: owner.mine()},
        )
        self.log_params(run.info.run_id, params)
        return run.info.run_id

    def new_child(self, parent: str, iteration: str) -> str:
        """Start the child run of an iteration; returns its id."""
        tags = {
            "mlflow.parentRunId": parent,
            "iteration": iteration,
            "mlflow.runName": f"iteration {iteration}",
        }
        tags[owner.TAG] = owner.mine()
        return self.client.create_run(self.experiment, tags=tags).info.run_id

    def log_params(self, run: str, params: dict[str, str]) -> None:
        from mlflow.entities import Param

        entities = [Param(name, value) for name, value in params.items()]
        for start in range(0, len(entities), PARAMS_A_CALL):
            self.client.log_batch(run, params=entities[start : start + PARAMS_A_CALL])

    def log_points(self, run: str, points: list[Point]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        entities = [Metric(name, value, now, step) for name, step, value in points]
        for start in range(0, len(entities), METRICS_A_CALL):
            self.client.log_batch(run, metrics=entities[start : start + METRICS_A_CALL])

    def points(self, run: str) -> list[Point]:
        """Every point that the run holds."""
        names = self.client.get_run(run).data.metrics
        history = (m for name in names for m in self.client.get_metric_history(run, name))
        return [(metric.key, metric.step, metric.value) for metric in history]

    def fill(self, run: str, wanted: list[Point]) -> bool:
        """Add the points that are missing. False, and nothing added, if the run holds a point that
        is not among `wanted`, or one twice: then it is not a run of these figures."""
        held = self.points(run)
        if len(held) != len(set(held)) or not set(held) <= set(wanted):
            return False
        self.log_points(run, [point for point in wanted if point not in set(held)])
        return True

    def finish(self, run: str, tags: dict[str, str]) -> None:
        for name, value in tags.items():
            self.client.set_tag(run, name, value)
        self.client.set_terminated(run, "FINISHED")

    def delete(self, run: str) -> None:
        """Delete a run, its children and their traces."""
        for runs in self.children(run).values():
            for child in runs:
                self.delete(child.info.run_id)
        self.delete_traces(run)
        self.client.delete_run(run)

    def delete_traces(self, run: str) -> None:
        """Delete the traces that belong to a run."""
        places = [self.experiment]
        while found := self.client.search_traces(locations=places, run_id=run, include_spans=False):
            identifiers = [trace.info.trace_id for trace in found]
            if not self.client.delete_traces(self.experiment, trace_ids=identifiers):
                return
