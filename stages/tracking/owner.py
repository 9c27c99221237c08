"""Find the process that an MLflow run belongs to, and close runs whose process is gone.

A stage's process ends with the stage, and the flywheel goes on: where DVC runs the stages, the run
belongs to DVC's process, which lives as long as they do.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path

import psutil

TAG = "flywheel_process"
SAME = 60  # seconds by which a process's start may seem to move when the clock is set


def mine() -> str:
    """The process that this one belongs to, as a tag: host, number and start."""
    own = psutil.Process()
    drivers = [parent for parent in own.parents() if _is_dvc(parent)]
    process = drivers[-1] if drivers else own
    return json.dumps([socket.gethostname(), process.pid, process.create_time()])


def alive(tag: str | None) -> bool:
    """Whether the process of a tag may still be running: it is, or its host is another one."""
    try:
        host, number, started = json.loads(tag)
        if host != socket.gethostname():
            return True
        return abs(psutil.Process(number).create_time() - started) < SAME
    except psutil.AccessDenied:
        return True
    except (TypeError, ValueError, psutil.Error):
        return False


def _is_dvc(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()[:3]
    except psutil.Error:
        return False
    return any(Path(word).name == "dvc" for word in words)
