"""Exact search on one or several GPUs: each holds a part of the vectors in half precision.

A part that does not fit into what is left of its device's memory is read from the file, block by
block, once for all queries of a search. Devices only choose candidates; the CPU scores and ranks
them (ranking.py), so that results are those of a search on the CPU.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from stages.plumbing.finite import NotFinite
from stages.retrieval.ranking import near_best, rescored

if TYPE_CHECKING:
    import torch

BLOCK = 262_144  # vectors compared with the queries at once
QUERIES = 256  # queries compared with a block at once
RESERVE = 0.2  # share of a device's free memory that is left to the encoder and to others

# Above twice the error of a product of unit vectors of which one is rounded to half precision and
# the other to TF32, should that be on: each rounds by at most 2^-11 of a component.
MARGIN = 2e-3

NearestPositions = list[tuple[np.ndarray, np.ndarray]]  # (positions, scores) of each query


class DeviceIndex:
    """Inner product search over vectors that are spread over devices."""

    def __init__(
        self,
        vectors: np.ndarray,
        devices: list[str],
        *,
        hold: bool | None = None,
        engine: float = 0.0,
    ):
        """`vectors`: (passages, dimension). `hold`: keep them on the devices; None: if they fit
        beside a language model's engine, which starts later and takes the share `engine` of each.

        NotFinite, here or in a search that reads them, for a vector that is not finite.
        """
        self.vectors = vectors
        bounds = np.linspace(0, len(vectors), len(devices) + 1).astype(int)
        self.pool = ThreadPoolExecutor(len(devices))
        parts = zip(devices, bounds, bounds[1:])
        self.shards = list(self.pool.map(lambda part: Shard(vectors, *part, hold, engine), parts))

    def search(self, queries: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each query, (positions, scores) of the `k` nearest passages, best first.

        Scores and ties: see stages/retrieval/ranking.py.
        """
        found, k = [], min(k, len(self.vectors))
        parts = list(self.pool.map(lambda shard: shard.candidates(queries, k), self.shards))
        for i, query in enumerate(queries):
            positions = np.concatenate([part[i][0] for part in parts])
            scores = np.concatenate([part[i][1] for part in parts])
            kept, _ = near_best(scores, k, MARGIN)
            found.append(rescored(self.vectors, query, np.sort(positions[kept]), k))
        return found


class Shard:
    """Vectors `first` to `last` on one device, the last one not included."""

    def __init__(
        self,
        vectors: np.ndarray,
        device: str,
        first: int,
        last: int,
        hold: bool | None = None,
        engine: float = 0.0,
    ):
        self.vectors, self.device = vectors, device
        self.ranges = [(s, min(s + BLOCK, last)) for s in range(first, last, BLOCK)]
        if hold is None:
            hold = self._fits(last - first, engine)
        self.held = [self._load(*bounds) for bounds in self.ranges] if hold else None

    def candidates(self, queries: np.ndarray, k: int) -> NearestPositions:
        """Who may be among the `k` best of all vectors: this shard's `k` best and near ones."""
        import torch

        asked = torch.from_numpy(queries).to(self.device)
        positions = [[np.empty(0, dtype=np.int64)] for _ in queries]
        scores = [[np.empty(0, dtype=np.float32)] for _ in queries]
        floor = torch.full((len(queries), 1), -torch.inf, device=self.device)
        for start, block in self._blocks():  # outside: a block that is read is read once
            vectors = block.float().T
            for first in range(0, len(queries), QUERIES):
                some = slice(first, first + QUERIES)
                values, found = _near_top(asked[some] @ vectors, k)
                if values.shape[1] >= k:
                    floor[some] = torch.maximum(floor[some], values[:, k - 1, None] - MARGIN)
                near = (values >= floor[some]).cpu().numpy()
                values, found = values.cpu().numpy(), found.cpu().numpy() + start
                for i, row in enumerate(near, first):
                    positions[i].append(found[i - first][row])
                    scores[i].append(values[i - first][row])
        return [(np.concatenate(p), np.concatenate(s)) for p, s in zip(positions, scores)]

    def _blocks(self) -> Iterator[tuple[int, torch.Tensor]]:
        for number, (first, last) in enumerate(self.ranges):
            yield first, self.held[number] if self.held else self._load(first, last)

    def _load(self, first: int, last: int) -> torch.Tensor:
        import torch

        block = torch.from_numpy(np.array(self.vectors[first:last], dtype=np.float16))
        block = block.to(self.device)
        if not bool(torch.isfinite(block).all()):
            raise NotFinite(f"a vector of passages {first + 1} to {last} is not finite")
        return block

    def _fits(self, count: int, engine: float) -> bool:
        """Whether `count` vectors fit; says so where not, since a search then reads them all."""
        import torch

        free, total = torch.cuda.mem_get_info(self.device)
        if vectors_fit(count, self.vectors.shape[1], free, total, engine):
            return True
        size = count * self.vectors.shape[1] * 2 / 1e9
        print(
            f"{self.device}: {size:.1f} GB of vectors do not fit into what 'compute.gpu_memory' "
            f"({engine:g}) leaves of {total / 1e9:.0f} GB: each search reads them from disk",
            file=sys.stderr,
        )
        return False


def vectors_fit(count: int, dimension: int, free: int, total: int, engine: float) -> bool:
    """Whether `count` vectors and the work on a block go into `free` bytes of a device's `total`
    beside an engine that takes the share `engine`, and still leave RESERVE.
    """
    working = BLOCK * (dimension * 4 + QUERIES * 8)
    return count * dimension * 2 + working < (free - engine * total) * (1 - RESERVE)


def _near_top(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and positions, best first, of at least the `k` highest of each row of `scores` and
    all those within MARGIN of them. (queries, at least k), or all there are.
    """
    size = scores.shape[1]
    count = min(2 * k, size)
    while True:
        values, positions = scores.topk(count, dim=1)
        if count == size or bool((values[:, -1] < values[:, k - 1] - MARGIN).all()):
            return values, positions
        count = min(4 * count, size)
