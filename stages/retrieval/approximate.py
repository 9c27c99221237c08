"""Approximate search: faiss brings candidates, which are then ranked by their exact vectors.

`ivfpq` (inverted lists of product-quantised vectors) needs little memory to build and is searched
on disk, or on a GPU (faiss_cards.py); `hnsw` (a graph over 8-bit vectors) needs a byte a component
and more, and is faster. A graph built by several threads differs a little from build to build;
inverted lists do not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from stages.params import Index, IndexKind
from stages.params.enough import check_lists
from stages.plumbing.errors import InputError
from stages.plumbing.progress import progress
from stages.retrieval import faiss_cards
from stages.retrieval.dense import BLOCK, DenseIndex
from stages.retrieval.devices import DeviceIndex
from stages.retrieval.faiss_cards import Card
from stages.retrieval.ranking import rescored

Exact = DenseIndex | DeviceIndex

FILE = "approximate.faiss"


def build(
    vectors: np.ndarray, params: Index, threads: int, folder: Path, device: str = "cpu"
) -> None:
    """Train on a seeded sample of `vectors`, add all of them, and write `folder`/FILE.

    `device`: where, if faiss has the kind for it (faiss_cards.KINDS).
    """
    import faiss

    faiss.omp_set_num_threads(threads)
    index, card = _empty(vectors.shape, params), _card(params.kind, device)
    if card is not None:
        ivfpq = params.ivfpq
        faiss_cards.check_on_gpu(ivfpq.lists, ivfpq.probes, ivfpq.bytes, params.candidates)
        index = card.put(index)
        index.cp.seed = params.seed  # a setting that the copy does not have; its codes' it has
    index.train(training_vectors(vectors, params.sample, params.seed))
    with progress(total=len(vectors), desc=params.kind.value, unit="passage") as bar:
        for first in range(0, len(vectors), BLOCK):
            block = np.asarray(vectors[first : first + BLOCK], dtype=np.float32)
            index.add(block)
            bar.update(len(block))
    if card is not None:
        index = card.take(index)
    if params.kind is IndexKind.ivfpq:
        index.nprobe = params.ivfpq.probes
    else:
        index.hnsw.efSearch = params.hnsw.breadth
    faiss.write_index(index, str(folder / FILE))


def training_vectors(vectors: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` of the vectors (all, if there are fewer), in their order. float32"""
    count = min(count, len(vectors))
    positions = np.random.default_rng(seed).choice(len(vectors), count, replace=False)
    return np.asarray(vectors[np.sort(positions)], dtype=np.float32)


def _empty(shape: tuple[int, int], params: Index):
    import faiss

    count, dimension = shape
    if params.kind is IndexKind.hnsw:
        links = params.hnsw.links
        kind = faiss.ScalarQuantizer.QT_8bit
        index = faiss.IndexHNSWSQ(dimension, kind, links, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = params.hnsw.build_breadth
        return index
    lists, codes = params.ivfpq.lists, params.ivfpq.bytes
    if dimension % codes:
        raise InputError(f"'index.ivfpq.bytes' must divide a vector's {dimension} components")
    check_lists(params, min(count, params.sample), "params.yaml")
    # Not by faiss.index_factory: faiss-cuda's fails (std::bad_cast) once torch is loaded.
    metric = faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFPQ(faiss.IndexFlatIP(dimension), dimension, lists, codes, 8, metric)
    # Codes for another search, whose training takes most of the time.
    index.do_polysemous_training = False
    index.cp.seed = index.pq.cp.seed = params.seed
    return index


def _card(kind: IndexKind, device: str) -> Card | None:
    return Card.of(device) if kind in faiss_cards.KINDS else None


class ApproximateIndex:
    """Search by a faiss index over the same vectors as an exact one."""

    def __init__(self, index, exact: Exact, candidates: int, on_card=None):
        """`candidates`: how many the faiss index brings at least. `on_card`: its copy on a GPU,
        which answers as far as its kernels can.
        """
        self.index, self.exact, self.candidates = index, exact, candidates
        self.on_card = on_card

    def search(self, queries: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each query, (positions, scores) of about the `k` nearest passages, best first.

        A query for which faiss finds fewer than `k` is searched exactly.
        """
        if len(queries) == 0:
            return []
        k = min(k, len(self.exact.vectors))
        count = min(max(k, self.candidates), len(self.exact.vectors))
        if self.on_card is not None and count <= faiss_cards.MOST:
            candidates = faiss_cards.search_filled(self.on_card, queries, count)
        else:
            with _one_by_one():
                _, candidates = self.index.search(np.ascontiguousarray(queries), count)
        found = []
        for query, positions in zip(queries, candidates):
            positions = np.sort(positions[positions >= 0])
            if len(positions) and positions[-1] >= len(self.exact.vectors):
                raise InputError("the faiss index is damaged: build the index again")
            if len(positions) < k:
                found += self.exact.search(query[None], k)
            else:
                found.append(rescored(self.exact.vectors, query, positions, k))
        return found


def load(
    folder: Path,
    kind: IndexKind,
    exact: Exact,
    candidates: int,
    threads: int,
    device: str = "cpu",
) -> ApproximateIndex:
    """The index of `kind` in `folder`, read where it lies, or copied to a GPU where faiss can."""
    import faiss

    faiss.omp_set_num_threads(threads)
    path, card = Path(folder) / FILE, _card(kind, device)
    mapped = faiss.IO_FLAG_MMAP if kind is IndexKind.ivfpq else faiss.IO_FLAG_MMAP_IFC
    mapped = mapped if card is None else 0  # lists on disk cannot be copied
    try:
        index = faiss.read_index(str(path), mapped)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"{path}: cannot be read as a faiss index ({reason})") from None
    if index is None:  # of a file that begins with "null"
        raise InputError(f"{path}: cannot be read as a faiss index")
    if (index.ntotal, index.d) != exact.vectors.shape:
        raise InputError(
            f"{path}: is of {index.ntotal} vectors of {index.d} components, not of "
            f"{exact.vectors.shape}: build the index again"
        )
    return ApproximateIndex(index, exact, candidates, None if card is None else card.put(index))


def check_size(folder: Path, size: int | None) -> None:
    """InputError if the faiss index in `folder` is not of `size` bytes, as index.json has them.

    faiss 1.14 maps lists that are cut short, and finds what lies behind them. None: not noted.
    """
    path = folder / FILE
    if size is not None and path.exists() and (found := path.stat().st_size) != size:
        raise InputError(f"{path}: has {found} bytes of {size}: build the index again")


def faiss_digest(folder: Path) -> str:
    """SHA-256 of the faiss index in `folder`: threads make other graphs of the same settings."""
    with open(folder / FILE, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def recall(index: ApproximateIndex, exact: Exact, queries: np.ndarray, k: int) -> float:
    """The share of the `k` exactly nearest passages that `index` finds, over all queries."""
    pairs = zip(index.search(queries, k), exact.search(queries, k))
    return float(np.mean([np.isin(best, found).mean() for (found, _), (best, _) in pairs]))


@contextmanager
def _one_by_one() -> Iterator[None]:
    """Have faiss compare each query alone: in matrix products of a batch it would round otherwise,
    and a query's candidates would depend on what is searched beside it.
    """
    import faiss

    usual = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 2**31 - 1
    try:
        yield
    finally:
        faiss.cvar.distance_compute_blas_threshold = usual
