"""Run verl's program: one at a time, and it ends with this process."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

from stages.plumbing.errors import InputError
from stages.running.ending import end_with

PATIENCE = 60.0  # seconds that verl is given to end by itself


@contextmanager
def held(lock: Path) -> Iterator[TextIO]:
    """The file `lock`, for this process and what it is passed on to. InputError if it is taken."""
    with open(lock, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                f"{lock}: verl of a training that was killed is still at work (process "
                f"{file.read()}): wait until it has ended, or end it"
            ) from None
        yield file


@contextmanager
def running(
    command: list[str], environment: dict[str, str], lock: TextIO
) -> Iterator[subprocess.Popen]:
    """The process of `command`, with more variables; it ends with the block.

    If this process is killed, the system sends it the signal that the block's end would; Ray then
    ends what it started. It holds `lock` until it is gone, so that no other joins it on its GPUs.
    """
    process = subprocess.Popen(
        command,
        env=os.environ | environment,
        preexec_fn=partial(end_with, os.getpid(), signal.SIGTERM),
        pass_fds=[lock.fileno()],
    )
    try:
        lock.truncate(0)
        print(process.pid, end="", file=lock, flush=True)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
