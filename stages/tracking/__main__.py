"""Write the metrics of this checkout to MLflow: `python -m stages.tracking`.

Use it when every stage came from DVC's cache (then nothing was logged), or when `mlflow.db` was
deleted. The report stage does the same. Runs that a killed process left RUNNING are closed as
KILLED; `--close` does nothing else. Runs that are there already cost well under a second: a sqlite
store is read without importing MLflow.
"""

from __future__ import annotations

import argparse
import sqlite3
from contextlib import closing
from pathlib import Path

from stages.params import load_params
from stages.plumbing.errors import run
from stages.tracking import identity, owner
from stages.tracking.store import experiment_name, uri

ACTIVE = "SELECT run_uuid FROM tags JOIN runs USING (run_uuid) WHERE lifecycle_stage = 'active'"
LAYOUT = f"SELECT run_uuid FROM tags WHERE key = 'flywheel_layout' AND value = '{identity.LAYOUT}'"
FINISHED = f"{ACTIVE} AND key = 'flywheel_digest'"
OWNERS = f"""
    SELECT value FROM runs JOIN experiments USING (experiment_id)
    LEFT JOIN tags ON tags.run_uuid = runs.run_uuid AND key = '{owner.TAG}'
    WHERE experiments.name = ? AND runs.lifecycle_stage = 'active' AND status = 'RUNNING'
"""  # of the runs that are under way
UNDER_WAY = f"{ACTIVE} AND key = 'flywheel_key' AND value = ? AND run_uuid NOT IN ({FINISHED})"


def main(argv: list[str] | None = None) -> None:
    """Rebuild the runs of the flywheel in the working directory unless they are tracked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metrics-folder", type=Path, default=Path("metrics"))
    parser.add_argument("--predictions", type=Path, default=Path("data/predictions"))
    parser.add_argument("--passages", type=Path, default=Path("data/corpus/passages.jsonl"))
    parser.add_argument("--close", action="store_true", help="only close what was killed")
    args = parser.parse_args(argv)
    if abandoned():
        close()
    if args.close:
        return
    params = load_params()

    from stages.reporting.results import read_results

    results = read_results(args.metrics_folder, params)
    if tracked(identity.key(params), identity.results_digest(results, params)):
        return

    from stages.reporting.comparisons import half_iterations
    from stages.reporting.predictions import Predictions, read_all_predictions
    from stages.tracking.rebuilding import rebuild

    there = args.predictions.is_dir() and args.passages.is_file()
    predictions = read_all_predictions(args.predictions, results) if there else Predictions()
    steps = half_iterations(results, predictions) if there else []
    rebuild(results, params, steps, predictions, args.passages)


def abandoned() -> bool:
    """Whether the store may hold runs of processes that are gone; False where a sqlite store says
    that it does not."""
    found = _select(OWNERS, experiment_name())
    return found is None or any(not owner.alive(tag) for (tag,) in found)


def close() -> None:
    """Close them."""
    from stages.tracking.runs import Runs
    from stages.tracking.store import connect_store, tolerated

    with tolerated("closing the runs of killed processes"):
        Runs(*connect_store()).close_abandoned()


def _select(query: str, *values: str) -> list[tuple] | None:
    """What a sqlite store answers; None for another store, or one that cannot be read."""
    address = uri()
    if not address.startswith("sqlite:///"):
        return None
    path = Path(address.removeprefix("sqlite:///"))
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as store:
            return store.execute(query, values).fetchall()
    except sqlite3.Error:
        return None


def tracked(key: str, digest: str) -> bool:
    """Whether a sqlite store holds the finished flywheel, and none under way with its key."""
    finished = _select(f"{FINISHED} AND value = ? AND run_uuid IN ({LAYOUT})", digest)
    return bool(finished) and _select(UNDER_WAY, key) == []


if __name__ == "__main__":
    run(main)
