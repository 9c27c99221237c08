"""Log the time and memory of a stage: a line in tmp/usage.jsonl, which the plan compares with.

It is no output of the stage: time and memory differ from run to run, results do not.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
from pathlib import Path

FILE = Path("tmp/usage.jsonl")


class Usage:
    """Seconds and peak memory of a stage that DVC runs: `with Usage(): main()`."""

    def __enter__(self) -> Usage:
        self.start = time.monotonic()
        return self

    def __exit__(self, kind, value, trace) -> None:
        stage = os.environ.get("DVC_STAGE")
        if stage is None or kind is not None:
            return
        row = {
            "stage": stage.rpartition(":")[2],
            "hours": round((time.monotonic() - self.start) / 3600, 6),
            "memory_gib": round(_peak_kib() / 2**20, 3),
            "gpu_memory_gib": _peak_gpu_gib(),
            "params": params_fingerprint(),
        }
        try:
            FILE.parent.mkdir(parents=True, exist_ok=True)
            with open(FILE, "a", encoding="utf-8") as file:
                file.write(json.dumps(row, allow_nan=False) + "\n")
        except OSError as error:  # the stage's own outputs are complete
            print(f"{FILE}: not written ({error.strerror})", file=sys.stderr)


def params_fingerprint(params: Path = Path("params.yaml")) -> str | None:
    """Which run a measurement is of: a hash of all parameters, those of `compute` too, which is
    the same however the file is laid out. None where it cannot be read."""
    from stages.plumbing.errors import InputError
    from stages.plumbing.yaml_text import parse_yaml

    try:
        values = parse_yaml(params.read_text(encoding="utf-8"), params, fast=True)
        whole = json.dumps(values, sort_keys=True, default=str)
    except (OSError, ValueError, TypeError, RecursionError, InputError):
        return None
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def resident_kib(used: resource.struct_rusage) -> int:
    """Largest resident set, which Linux gives in KiB and macOS in bytes."""
    return used.ru_maxrss // 1024 if sys.platform == "darwin" else used.ru_maxrss


def _peak_kib() -> int:
    """That of this process or of any child that has ended."""
    return max(
        resident_kib(resource.getrusage(who))
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )


def _peak_gpu_gib() -> float | None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    peaks = [torch.cuda.max_memory_allocated(device) for device in range(torch.cuda.device_count())]
    return round(max(peaks) / 2**30, 3)
