"""Check 1: the card, its driver, and that vLLM's allocator and faiss load beside torch."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from stages.plumbing.errors import InputError

DRIVER = 580  # the first of CUDA 13
# Packages with CUDA's own version; cuFFT, cuSOLVER, cuSPARSE and others count for themselves.
NUMBERED = re.compile(r"cuda-(toolkit|bindings)$|nvidia-(cuda-|(cublas|nvjitlink|nvtx|nvvm)$)")
# The compiler library that vLLM's allocator takes from torch: without a driver, which the allocator
# wants as well, it is loaded in the allocator's place.
NVRTC = "libnvrtc.so.13"
_IMPORT = {
    "vllm.cumem_allocator": "import vllm.cumem_allocator",
    NVRTC: f"import ctypes; ctypes.CDLL('{NVRTC}')",
}


def check_card(folder: Path, cuda: bool) -> dict:
    """The driver is new enough, one CUDA is installed, and what loads it does so in any order."""
    import torch

    majors = cuda_majors({d.name: d.version for d in metadata.distributions()})
    if len(majors) > 1:
        raise InputError(
            f"packages of CUDA {' and '.join(sorted(majors))} are installed beside each other, and "
            "libraries of the one are taken for the other's: make a new environment"
        )
    metrics = {"torch": torch.__version__, "cuda": torch.version.cuda, "loaded": ["torch"]}
    if importlib.util.find_spec("vllm") and importlib.util.find_spec("vllm.cumem_allocator"):
        allocator = "vllm.cumem_allocator" if has_driver() else NVRTC
        _loads(f"import torch; {_IMPORT[allocator]}; import faiss; faiss.StandardGpuResources")
        metrics["loaded"] += [allocator, "faiss"]
    if not cuda:
        return metrics
    asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    name, _, driver = subprocess.check_output(asked, text=True).splitlines()[0].partition(", ")
    if int(driver.partition(".")[0]) < DRIVER:
        raise InputError(f"the driver is {driver}, and CUDA 13 needs {DRIVER} or newer: renew it")
    if metrics["loaded"] == ["torch"]:
        raise InputError("vLLM's build for CUDA is not installed: `make install-gpu`")
    free, total = torch.cuda.mem_get_info(0)
    return metrics | {
        "name": name,
        "driver": driver,
        "capability": ".".join(map(str, torch.cuda.get_device_capability(0))),
        "memory_gb": round(total / 1e9, 1),
        "free_gb": round(free / 1e9, 1),
    }


def cuda_majors(named: dict[str, str]) -> set[str]:
    """The CUDA releases that packages are of, by their names or, of those that are numbered as CUDA
    is, by their versions."""
    plain = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in named.items()}
    suffixes = {m[1] for name in plain if (m := re.search(r"-cu(\d{2})(?:-|$)", name))}
    return suffixes | {v.partition(".")[0] for name, v in plain.items() if NUMBERED.match(name)}


def has_driver() -> bool:
    """Whether the library of NVIDIA's driver is there, as on no machine without a card."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _loads(code: str) -> None:
    """InputError unless `code` runs in a process of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"`{code}` fails: {done.stderr.strip().splitlines()[-1]}")
