"""Search an index folder: the one interface of every stage that retrieves.

An index folder has `index.json` (type, passages, the digests of what it was built from, and
`finite`: its writer has looked at every vector),
`starts.npy` (where the corpus's lines start), and either `vectors.npy`, perhaps with a faiss index
beside it, or a bm25s index.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from stages.common.records import read_json
from stages.common.search import Hit, SearchRequest
from stages.params import Compute, IndexKind
from stages.plumbing.errors import InputError
from stages.plumbing.finite import NotFinite
from stages.retrieval.corpus import STARTS, PassageFile, read_starts, sample_digest
from stages.retrieval.identity import retriever_digest

ABOUT = "index.json"
FoundPositions = list[tuple[np.ndarray, np.ndarray]]  # (positions, scores) of each query


class Searcher:
    """Finds passages for requests; what a request is read as, and how, is the retriever's."""

    def __init__(
        self,
        passages: PassageFile,
        text: Callable[[SearchRequest], str],
        find: Callable[[list[str], int], FoundPositions],
        about: dict | None = None,
    ):
        """`text` makes a request's text; `find` gives the best positions for distinct texts;
        `about` is what the index's index.json says."""
        self.passages = passages
        self.text = text
        self.find = find
        self.about = about or {}

    def search(self, requests: list[SearchRequest], top_k: int) -> list[list[Hit]]:
        """The `top_k` best passages of each request, best first; equal texts are searched once.

        Fewer than `top_k` where the corpus is smaller, or BM25 finds fewer that share a term with
        the text. Ties: the earlier passage first.
        """
        found = self.positions(requests, top_k)
        passages = {position: self.passages[position] for row in found for position, _ in row}
        return [[Hit(passages[position], score) for position, score in row] for row in found]

    def positions(self, requests: list[SearchRequest], top_k: int) -> list[list[tuple[int, float]]]:
        """What `search` finds, as positions in the corpus and scores to 6 decimals."""
        texts = [self.text(request) for request in requests]
        distinct = list(dict.fromkeys(texts))
        found = {
            text: [
                (int(position), round(float(score), 6))
                for position, score in zip(positions, scores)
            ]
            for text, (positions, scores) in zip(distinct, self.find(distinct, top_k))
        }
        return [found[text] for text in texts]


def load_searcher(
    index_folder: str | Path,
    passages_path: str | Path,
    retriever_folder: str | Path | None,
    compute: Compute,
) -> Searcher:
    """A searcher over an index; a dense one also needs the retriever that built it.

    InputError if the index was built from another corpus or by another retriever. NotFinite, here
    or in a search, if it holds what is not finite: all of it is looked at where index.json does not
    say that its writer did, else some of it, and every score.
    """
    folder = Path(index_folder)
    about = read_about(folder)
    passages = _open_corpus(folder, Path(passages_path), about)
    if about["type"] == "bm25":
        from stages.retrieval.bm25 import Bm25Index

        words = Bm25Index.load(folder, len(passages))
        _check_finite(folder, about, words.weights)
        find = _named(folder, words.search)
        return Searcher(passages, lambda request: request.query, find, about)
    if retriever_folder is None:
        raise InputError(f"{folder}: a dense index needs the retriever that built it")
    if about["retriever"] != retriever_digest(retriever_folder):
        raise InputError(f"{folder}: was built by another retriever than {retriever_folder}")
    return _dense(folder, about, passages, Path(retriever_folder), compute)


def read_about(folder: str | Path) -> dict:
    """What an index folder's index.json says. InputError where it says less, or something else."""
    path = Path(folder) / ABOUT
    about = read_json(path)
    if not isinstance(about, dict):
        raise InputError(f"{path}: expected an object")
    needed: dict[str, type] = {"type": str, "passages": int, "corpus": str}
    if about.get("type") == "dense":
        needed |= {"retriever": str}
    if "kind" in about:
        needed |= {"kind": str, "candidates": int}
    for key, kind in needed.items():
        if type(about.get(key)) is not kind:
            raise InputError(f"{path}: '{key}' must be a {'text' if kind is str else 'number'}")
    if about["type"] not in ("dense", "bm25"):
        raise InputError(f"{path}: 'type' must be dense or bm25, not '{about['type']}'")
    if about.get("kind", "ivfpq") not in ("ivfpq", "hnsw"):
        raise InputError(f"{path}: 'kind' must be ivfpq or hnsw, not '{about['kind']}'")
    return about


def exact_index(vectors: np.ndarray, compute: Compute):
    """Exact search over `vectors`: on the GPUs, or in place on the CPU."""
    from stages.encoders.encoding import devices
    from stages.retrieval.dense import DenseIndex
    from stages.retrieval.devices import DeviceIndex

    if compute.device == "cuda":
        return DeviceIndex(vectors, devices(compute), engine=compute.gpu_memory)
    return DenseIndex(vectors)


def _dense(
    folder: Path, about: dict, passages: PassageFile, retriever_folder: Path, compute: Compute
) -> Searcher:
    from stages.common import portable
    from stages.encoders.encoding import DenseRetriever, devices
    from stages.retrieval import approximate
    from stages.retrieval.dense import DenseIndex, open_vectors

    portable.start_computing(compute)
    retriever = DenseRetriever.load(
        retriever_folder, device=compute.device, rows=compute.encoding_batch
    )
    vectors = open_vectors(folder)
    if vectors.shape != (shape := (len(passages), retriever.dimension)):
        raise InputError(f"{folder}: its vectors are {vectors.shape}, not {shape}: build it again")
    _check_finite(folder, about, vectors)
    if "kind" in about:
        kind, candidates = IndexKind(about["kind"]), about["candidates"]
        exact = DenseIndex(vectors)
        place = devices(compute)[0]
        approximate.check_size(folder, about.get("faiss_bytes"))
        index = approximate.load(folder, kind, exact, candidates, compute.threads, place)
    else:
        with _naming(folder):
            index = exact_index(vectors, compute)
    search = _named(folder, index.search)
    return Searcher(
        passages,
        retriever.query_format.text,
        lambda texts, k: search(retriever.encode_queries(texts), k),
        about,
    )


def _check_finite(folder: Path, about: dict, numbers: np.ndarray) -> None:
    from stages.retrieval.dense import check_finite

    noted = about.get("finite") is True
    if not noted:
        print(
            f"{folder}: index.json does not say that its numbers are finite: looking at all of them"
            f" ({len(numbers)} rows); an index that is built anew says so",
            file=sys.stderr,
        )
    with _naming(folder):
        check_finite(numbers, whole=not noted)


def _named(folder: Path, search: Callable) -> Callable:
    def searched(queries, k: int) -> FoundPositions:
        with _naming(folder):
            return search(queries, k)

    return searched


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    try:
        yield
    except NotFinite as error:
        raise NotFinite(f"{folder}: {error}: build the index again") from None


def _open_corpus(folder: Path, path: Path, about: dict) -> PassageFile:
    passages = PassageFile(path, read_starts(folder / STARTS))
    if sample_digest(passages) != about["corpus"]:
        raise InputError(f"{folder}: was built from another corpus than {path}: build it again")
    return passages
