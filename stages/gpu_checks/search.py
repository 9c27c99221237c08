"""Check 2: a search on the device finds what one on the processor finds; IVF-PQ by faiss there;
and the smallest flywheel runs with `compute.device=cuda`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from stages.composing.compose import compose
from stages.params import Index, IndexKind, Ivfpq
from stages.plumbing.errors import InputError
from stages.retrieval import approximate
from stages.retrieval.dense import DenseIndex
from stages.retrieval.devices import DeviceIndex

K, QUERIES, DIMENSION = 20, 512, 768
LEAST_RECALL = 0.7  # of vectors in clusters, as passages are; far below it something is broken
FLYWHEEL = ["scale=smoke", "compute.device=cuda"]


def check_search(folder: Path, cuda: bool) -> dict:
    """Exact search held and streamed, IVF-PQ built and searched on the device, and a flywheel."""
    count, device = (1_000_000, "cuda:0") if cuda else (4_000, "cpu")
    vectors, queries = _vectors(count, DIMENSION if cuda else 32)
    expected, seconds = _timed(DenseIndex(vectors), queries)
    metrics = {"vectors": count, "queries": len(queries), "processor_seconds": seconds}
    for name, hold in (("held", True), ("streamed", False)):
        found, metrics[f"{name}_seconds"] = _timed(
            DeviceIndex(vectors, [device], hold=hold), queries
        )
        _same(found, expected, f"exact search on the device, {name},")
        metrics[f"processor_over_{name}"] = _ratio(seconds, metrics[f"{name}_seconds"])
    metrics |= _ivfpq(vectors, queries, expected, device, folder)
    metrics["flywheel_seconds"] = _flywheel(folder / "flywheel") if cuda else None
    if not cuda:
        compose(folder / "params.yaml", FLYWHEEL)
    return metrics


def _vectors(count: int, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around as many centres as a thousandth of them, and queries near some."""
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((max(8, count // 1000), dimension), dtype=np.float32)
    vectors = np.empty((count, dimension), dtype=np.float16)
    for first in range(0, count, 100_000):
        some = vectors[first : first + 100_000]
        near = centres[draw.integers(0, len(centres), len(some))]
        some[:] = _unit(near + 0.5 * draw.standard_normal(near.shape, dtype=np.float32))
    chosen = vectors[draw.integers(0, count, QUERIES)].astype(np.float32)
    noise = draw.standard_normal(chosen.shape, dtype=np.float32)
    return vectors, _unit(chosen + 0.2 / dimension**0.5 * noise)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _timed(index, queries: np.ndarray):
    """What it finds, and seconds, without those in which CUDA starts."""
    index.search(queries[:1], K)
    began = time.perf_counter()
    found = index.search(queries, K)
    return found, round(time.perf_counter() - began, 3)


def _ratio(seconds: float, other: float) -> float | None:
    """How many times `other` the seconds are; None where that took none to speak of."""
    return round(seconds / other, 3) if other else None


def _same(found, expected, what: str) -> None:
    differ = sum(
        one[0].tolist() != other[0].tolist() or one[1].tolist() != other[1].tolist()
        for one, other in zip(found, expected, strict=True)
    )
    if differ:
        raise InputError(f"{what} differs from the processor's in {differ} of {len(found)} queries")


def _ivfpq(vectors, queries, expected, device: str, folder: Path) -> dict:
    """Build and search; the same index searched by the processor beside it."""
    large = len(vectors) > 100_000
    ivfpq = Ivfpq(lists=4096, probes=64, bytes=64) if large else Ivfpq(lists=16, probes=8, bytes=16)
    params = Index(kind=IndexKind.ivfpq, ivfpq=ivfpq, candidates=200)
    began = time.perf_counter()
    approximate.build(vectors, params, os.cpu_count() or 1, folder, device)
    built, exact, found = time.perf_counter() - began, DenseIndex(vectors), {}
    metrics = {"ivfpq_build_seconds": round(built, 1)}
    for name, place in (("device", device), ("processor", "cpu")):
        index = approximate.load(
            folder, params.kind, exact, params.candidates, os.cpu_count() or 1, place
        )
        found[name], seconds = _timed(index, queries)
        alone = [index.search(query[None], K)[0] for query in queries[:8]]
        _same(alone, found[name][:8], f"IVF-PQ on the {name}, query by query,")
        metrics[f"ivfpq_{name}_seconds"] = seconds
        metrics[f"ivfpq_{name}_recall"] = round(_shared(found[name], expected), 4)
    times = (metrics[f"ivfpq_{name}_seconds"] for name in ("processor", "device"))
    metrics["ivfpq_processor_over_device"] = _ratio(*times)
    metrics["ivfpq_same_passages"] = round(_shared(found["device"], found["processor"]), 4)
    if metrics["ivfpq_device_recall"] < LEAST_RECALL:
        raise InputError(f"IVF-PQ finds {metrics['ivfpq_device_recall']} of the nearest passages")
    return metrics


def _shared(found, other) -> float:
    return float(np.mean([np.isin(best[0], some[0]).mean() for some, best in zip(found, other)]))


def _flywheel(folder: Path) -> float:
    """Seconds of the smallest flywheel on the card, in a clone."""
    began = time.perf_counter()
    subprocess.run(["git", "clone", "--quiet", ".", str(folder)], check=True)
    compose(folder / "params.yaml", FLYWHEEL)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=folder, env=environment)
    if done.returncode:
        raise InputError(
            f"the smallest flywheel fails on the card: cd {folder} and `dvc repro` again"
        )
    return round(time.perf_counter() - began, 1)
