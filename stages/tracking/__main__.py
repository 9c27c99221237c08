"""Bring MLflow up to date with the metrics of the checkout, as the report stage does.

For when every stage came from DVC's cache, so that nothing was logged, or `mlflow.db` was deleted.
Where the runs are there already, it says so in well under a second: a sqlite store is read as it
is, without importing MLflow.
"""

from __future__ import annotations

import argparse
import sqlite3
from pathlib import Path

from stages.params import load_params
from stages.plumbing.errors import run
from stages.tracking import identity
from stages.tracking.store import uri

ACTIVE = "SELECT run_uuid FROM tags JOIN runs USING (run_uuid) WHERE lifecycle_stage = 'active'"
FINISHED = f"{ACTIVE} AND key = 'flywheel_digest'"
UNDER_WAY = f"{ACTIVE} AND key = 'flywheel_key' AND value = ? AND run_uuid NOT IN ({FINISHED})"


def main(argv: list[str] | None = None) -> None:
    """Rebuild the runs of the flywheel in the working directory unless they are tracked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metrics-folder", type=Path, default=Path("metrics"))
    parser.add_argument("--predictions", type=Path, default=Path("data/predictions"))
    parser.add_argument("--passages", type=Path, default=Path("data/corpus/passages.jsonl"))
    args = parser.parse_args(argv)
    params = load_params()

    from stages.reporting.results import read_results

    results = read_results(args.metrics_folder, params)
    if tracked(identity.key(params), identity.digest(results, params)):
        return

    from stages.reporting.comparisons import half_turns
    from stages.reporting.predictions import read_predictions
    from stages.tracking import rebuild

    there = args.predictions.is_dir() and args.passages.is_file()
    predictions = read_predictions(args.predictions, results) if there else {}
    samples = params.evaluate.bootstrap_samples
    steps = half_turns(results, predictions, params.seed, samples) if there else []
    rebuild(results, params, steps, predictions, args.passages)


def tracked(key: str, digest: str) -> bool:
    """Whether a sqlite store holds the finished flywheel, and none under way with its key."""
    address = uri()
    if not address.startswith("sqlite:///"):
        return False
    path = Path(address.removeprefix("sqlite:///"))
    if not path.exists():
        return False
    try:
        with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True) as store:
            finished = store.execute(f"{FINISHED} AND value = ?", (digest,)).fetchone()
            return bool(finished) and not store.execute(UNDER_WAY, (key,)).fetchone()
    except sqlite3.Error:
        return False


if __name__ == "__main__":
    run(main)
