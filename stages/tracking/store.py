"""The MLflow store. A failure of tracking never stops a stage.

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
from urllib.parse import unquote, urlsplit

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


def experiment_name() -> str:
    """The experiment in force."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)


def connect_store():
    """(client, experiment id); the experiment is made at the first use. Imports mlflow."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    mlflow.set_tracking_uri(uri())
    client = mlflow.MlflowClient()
    name = experiment_name()
    known = client.get_experiment_by_name(name)
    if known is not None and (old := moved_from(known.artifact_location)):
        _set_aside(client, known, old)
        known = None
    if known is not None:
        return client, known.experiment_id
    local = uri().startswith("sqlite:")
    place = (root() / "mlruns").as_uri() if local else None
    return client, client.create_experiment(name, artifact_location=place)


def moved_from(location: str) -> Path | None:
    """The folder that a checkout's experiment writes to (MLflow keeps it as a whole path), if the
    store is the checkout's own and the folder is not: the checkout was moved or copied since."""
    store = Path(uri().removeprefix("sqlite:///"))
    if not uri().startswith("sqlite:///") or store.resolve().parent != root().resolve():
        return None
    parts = urlsplit(location)
    if parts.scheme not in ("", "file"):
        return None
    place = Path(unquote(parts.path))
    return None if place.resolve().is_relative_to(root().resolve()) else place


def _set_aside(client, experiment, old: Path) -> None:
    """Rename an experiment whose folder is another checkout's, so that nothing is written there.

    Its runs under way are closed: nothing here goes on with them.
    """
    under_way = "attributes.status = 'RUNNING'"
    for run in client.search_runs([experiment.experiment_id], under_way):
        client.set_terminated(run.info.run_id, "KILLED")
    name, number = f"{experiment.name} of {old.parent}", 1
    while client.get_experiment_by_name(name) is not None:
        number += 1
        name = f"{experiment.name} of {old.parent} ({number})"
    client.rename_experiment(experiment.experiment_id, name)
    print(
        f"tracking: this checkout was moved or copied from {old.parent}: runs from there are kept "
        f"as the experiment '{name}', new ones are {experiment.name}",
        file=sys.stderr,
    )


@contextmanager
def tolerated(what: str) -> Iterator[None]:
    """Turn any failure of tracking into one line on standard error, and go on."""
    try:
        yield
    except Exception as error:  # whatever the store raises, the stage's own work goes on
        lines = str(error).replace(uri(), "the tracking store").strip().splitlines() or [""]
        reason = f"{type(error).__name__}: {lines[0]}"
        print(f"tracking: {what} failed, the stage goes on ({reason})", file=sys.stderr)
