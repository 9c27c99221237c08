"""The environment in which sums are the same on every x86-64 processor with AVX2.

torch, MKL, oneDNN, OpenBLAS, numpy and faiss look at the processor when they load, and take other
kernels on other ones. The variables below hold them to those that all have. They must stand before
the libraries load: `stages/__init__.py` calls `set_up` first of all. What a process starts (Ray's
workers, torch's) inherits them. A linear layer goes through oneDNN then: stages/common/linear.py.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stages.params import Compute

VARIABLES = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "MKL_CBWR": "COMPATIBLE",  # of AVX2 MKL has others for other makers
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",  # numpy's products
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # numpy's functions and sorts
    "FAISS_SIMD_LEVEL": "AVX2",
}
READERS = ("numpy", "torch", "faiss")


def set_up(params: Path = Path("params.yaml")) -> None:
    """Set VARIABLES as the block `compute` of `params` says, whatever the surroundings say.

    Without that file, and where a reader of the variables is loaded, they stay as they are.
    """
    wanted = _wanted(params)
    if wanted is None or any(name in sys.modules for name in READERS):
        return
    if wanted:
        os.environ.update(VARIABLES)
        return
    for name, value in VARIABLES.items():
        if os.environ.get(name) == value:
            del os.environ[name]


def is_on() -> bool:
    """Whether this process computes what every x86-64 processor does."""
    return possible() and not _differing()


def possible() -> bool:
    """Whether this processor can: it is an x86-64 one with AVX2."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        return " avx2 " in Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return True


def start_computing(compute: Compute) -> None:
    """What a process does before its first sum: take `compute.threads`, on which sums depend too.

    InputError if `compute` asks for portable sums and the environment is another one.
    """
    import torch

    if compute.portable and compute.device == "cpu" and possible() and (names := _differing()):
        from stages.plumbing.errors import InputError

        raise InputError(
            f"{names[0]} is {os.environ.get(names[0])!r}, not {VARIABLES[names[0]]!r}, and sums "
            "would be those of this processor: import stages before numpy, torch and faiss, or set "
            "'compute.portable' to false"
        )
    torch.set_num_threads(compute.threads)


def _differing() -> list[str]:
    return [name for name, value in VARIABLES.items() if os.environ.get(name) != value]


def _wanted(params: Path) -> bool | None:
    """What the parameters say; None without them. A value of another kind is refused later."""
    from stages.plumbing.errors import InputError
    from stages.plumbing.yaml_text import parse_yaml

    try:
        text = params.read_text(encoding="utf-8")
        compute = parse_yaml(text, params, fast=True)["compute"]  # at every start
        cpu, portable = compute.get("device", "cpu") == "cpu", compute.get("portable", True)
    except OSError:
        return None
    except (InputError, ValueError, TypeError, LookupError, AttributeError):
        return possible()
    return cpu and portable is not False and possible()
