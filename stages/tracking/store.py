"""Where runs are tracked, and the promise that tracking never stops a stage.

The store is `MLFLOW_TRACKING_URI`, or `mlflow.db` (sqlite) in the root of the checkout: a DVC
experiment that runs in a temporary copy still tracks into the checkout that it was started from.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXPERIMENT = "agentic-r"
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds; a dead server costs a stage this, not minutes
}


def root() -> Path:
    """The checkout: the working directory, or the one whose `.dvc/tmp/exps` it lies in."""
    here = Path.cwd()
    for parent in here.parents:
        if parent.parts[-3:] == (".dvc", "tmp", "exps"):
            return parent.parents[2]
    return here


def uri() -> str:
    """The tracking address in force."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root() / 'mlflow.db'}"


def connect():
    """(client, experiment id); the experiment is made at the first use. Imports mlflow."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    mlflow.set_tracking_uri(uri())
    client = mlflow.MlflowClient()
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    known = client.get_experiment_by_name(name)
    if known is not None:
        return client, known.experiment_id
    local = uri().startswith("sqlite:")
    place = (root() / "mlruns").as_uri() if local else None
    return client, client.create_experiment(name, artifact_location=place)


@contextmanager
def tolerated(what: str) -> Iterator[None]:
    """Turn any failure of tracking into one line on standard error, and go on."""
    try:
        yield
    except Exception as error:  # whatever the store raises, the stage's own work goes on
        lines = str(error).replace(uri(), "the tracking store").strip().splitlines() or [""]
        reason = f"{type(error).__name__}: {lines[0]}"
        print(f"tracking: {what} failed, the stage goes on ({reason})", file=sys.stderr)
