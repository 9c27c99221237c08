"""A process that ends with the one that started it, also where that one is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # of Linux's prctl
LIBC = ctypes.CDLL(None)  # loaded before any fork


def end_with(parent: int, sign: signal.Signals) -> None:
    """Have Linux send `sign` to this process when `parent`, the process above it, is gone."""
    if sys.platform != "linux":
        return
    LIBC.prctl(PR_SET_PDEATHSIG, sign)
    if os.getppid() != parent:  # gone meanwhile
        os._exit(1)
