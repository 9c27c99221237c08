"""Start a retriever server of one's own, and stop it afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.plumbing.errors import InputError

ROOT = Path(__file__).parents[2]  # of the checkout: a stage may run elsewhere
ANNOUNCED = " on http://"  # in the line that a server prints when it is ready


@contextmanager
def running_server(
    index: str | Path, passages: str | Path, retriever: str | Path | None
) -> Iterator[str]:
    """A server in a process of its own, on a free port of this machine; yields its address.

    It ends with the block, and with this process, however that ends. InputError if it does not
    start: what is wrong stands on standard error.
    """
    command = [sys.executable, "-m", "stages.tools.serve", "--index", str(index)]
    command += ["--passages", str(passages), "--port", "0", "--until-closed"]
    command += [] if retriever is None else ["--retriever", str(retriever)]
    pipe = subprocess.PIPE
    places = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
    try:
        line = process.stdout.readline()
        if ANNOUNCED not in line:
            raise InputError(f"the retriever server of {index} did not start")
        yield "http://" + line.strip().rpartition(ANNOUNCED)[2]
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
