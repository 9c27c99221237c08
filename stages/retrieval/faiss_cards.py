"""faiss on a GPU: train, fill and search inverted lists there, in place of the processor.

faiss has IVF-PQ for GPUs and no HNSW. The first device in sight has all of it: codes and ids of 21
million passages take 1.5 GB. What it finds is ranked by the vectors themselves (approximate.py), so
scores are the processor's; candidates at the edge may differ, since tables of distances are in half
precision there.
"""

from __future__ import annotations

import numpy as np

from stages.params import IndexKind
from stages.plumbing.errors import InputError

KINDS = (IndexKind.ivfpq,)  # that faiss has for GPUs
MOST = 2048  # candidates of a query and lists searched, by faiss's kernels
ROWS = 256  # queries of every search: cuBLAS rounds products of one shape in one way
BYTES = (1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96)  # of a passage's code


class Card:
    """A GPU as faiss sees it; `Card.of(device)` is None where the device is none."""

    def __init__(self, faiss, number: int):
        self.faiss, self.number = faiss, number
        self.resources = faiss.StandardGpuResources()

    @classmethod
    def of(cls, device: str) -> Card | None:
        """The GPU of `device` (cuda:0), None for the processor. InputError where this faiss is
        the processor's build, or finds no GPU.
        """
        if not device.startswith("cuda"):
            return None
        import faiss

        if not hasattr(faiss, "StandardGpuResources"):
            raise InputError(
                "'index.kind' is ivfpq and 'compute.device' cuda, and the faiss that is installed "
                "is the build for processors: requirements/gpu.txt has the one for GPUs"
            )
        number = int(device.partition(":")[2] or 0)
        if number >= faiss.get_num_gpus():
            raise InputError(f"faiss finds {faiss.get_num_gpus()} GPUs, and {device} is asked for")
        return cls(faiss, number)

    def put(self, index):
        """A copy of the IVF-PQ `index`, trained or not, on the card."""
        options = self.faiss.GpuClonerOptions()
        options.useFloat16 = True  # of the tables: those of 64 bytes fit its shared memory so alone
        options.indicesOptions = self.faiss.INDICES_64_BIT
        return self.faiss.index_cpu_to_gpu(self.resources, self.number, index, options)

    def take(self, index):
        """A copy of the card's `index` in the processor's memory, which can be written."""
        return self.faiss.index_gpu_to_cpu(index)


def check_on_gpu(lists: int, probes: int, codes: int, candidates: int) -> None:
    """InputError for parameters of ivfpq that faiss cannot have on a GPU."""
    most = f"{MOST} at most"
    for key, value, holds, allowed in (
        ("index.ivfpq.bytes", codes, codes in BYTES, f"one of {', '.join(map(str, BYTES))}"),
        ("index.ivfpq.probes", probes, min(probes, lists) <= MOST, most),
        ("index.candidates", candidates, candidates <= MOST, most),
    ):
        if not holds:
            raise InputError(f"params.yaml: '{key}' ({value}): on a GPU faiss takes {allowed}")


def search_filled(index, queries: np.ndarray, count: int) -> np.ndarray:
    """Positions of the `count` nearest by `index`, -1 where it finds fewer. (queries, count)

    Asked ROWS at a time, filled up with copies, so that a query's candidates do not depend on what
    is searched beside it.
    """
    found = np.empty((len(queries), count), dtype=np.int64)
    for first in range(0, len(queries), ROWS):
        some = queries[first : first + ROWS]
        filled = np.resize(some, (ROWS, queries.shape[1]))  # repeats them
        _, positions = index.search(np.ascontiguousarray(filled), count)
        found[first : first + ROWS] = positions[: len(some)]
    return found
