"""Log the time and memory of a stage: a line in tmp/usage.jsonl, which the plan compares with.

It is no output of the stage: time and memory differ from run to run, results do not. On a card the
memory is sampled; elsewhere it is what the system says at the end, and no thread runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stages.plumbing.sampling import Sampler

FILE = Path("tmp/usage.jsonl")
PARAMS = Path("params.yaml")


class Usage:
    """Seconds and peak memory of a stage that DVC runs: `with Usage(): main()`."""

    def __enter__(self) -> Usage:
        self.start = time.monotonic()
        self.sampler = _sampler() if "DVC_STAGE" in os.environ else None
        return self

    def __exit__(self, kind, value, trace) -> None:
        if self.sampler is not None:
            self.sampler.stop()
        stage = os.environ.get("DVC_STAGE")
        if stage is None or kind is not None:
            return
        host = max(_peak_kib() * 2**10, self.sampler.host if self.sampler else 0)
        row = {
            "stage": stage.rpartition(":")[2],
            "hours": round((time.monotonic() - self.start) / 3600, 6),
            "memory_gib": round(host / 2**30, 3),
            "gpu_memory_gib": _peak_gpu_gib(self.sampler.card if self.sampler else None),
            "params": params_fingerprint(),
        }
        try:
            FILE.parent.mkdir(parents=True, exist_ok=True)
            with open(FILE, "a", encoding="utf-8") as file:
                file.write(json.dumps(row, allow_nan=False) + "\n")
        except OSError as error:  # the stage's own outputs are complete
            print(f"{FILE}: not written ({error.strerror})", file=sys.stderr)


def params_fingerprint(params: Path = PARAMS) -> str | None:
    """Which run a measurement is of: a hash of all parameters, those of `compute` too, which is
    the same however the file is laid out. None where it cannot be read."""
    if (values := _values(params)) is None:
        return None
    try:
        whole = json.dumps(values, sort_keys=True, default=str)
    except (ValueError, TypeError, RecursionError):
        return None
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _values(params: Path) -> object:
    """What the file holds; None where it cannot be read."""
    from stages.plumbing.errors import InputError
    from stages.plumbing.yaml_text import parse_yaml

    try:
        return parse_yaml(params.read_text(encoding="utf-8"), params, fast=True)
    except (OSError, ValueError, RecursionError, InputError):
        return None


def _sampler() -> Sampler | None:
    """One that has begun, where the stage runs on a card and NVML's package is installed."""
    if "pynvml" not in sys.modules and find_spec("pynvml") is None:
        return None
    values = _values(PARAMS)
    compute = values.get("compute") if isinstance(values, dict) else None
    if not isinstance(compute, dict) or compute.get("device") != "cuda":
        return None
    from stages.plumbing.sampling import Sampler

    return Sampler().start()


def resident_kib(used: resource.struct_rusage) -> int:
    """Largest resident set, which Linux gives in KiB and macOS in bytes."""
    return used.ru_maxrss // 1024 if sys.platform == "darwin" else used.ru_maxrss


def _peak_kib() -> int:
    """That of this process or of any child that has ended."""
    return max(
        resident_kib(resource.getrusage(who))
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )


def _peak_gpu_gib(sampled: int | None) -> float | None:
    """Of what was sampled and what torch counted in this process, which misses no short peak."""
    torch, peaks = sys.modules.get("torch"), [] if sampled is None else [sampled]
    if torch is not None and torch.cuda.is_initialized():
        peaks += map(torch.cuda.max_memory_allocated, range(torch.cuda.device_count()))
    return round(max(peaks) / 2**30, 3) if peaks else None
