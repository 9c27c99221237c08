"""Search an index folder: the one interface of every stage that retrieves.

An index folder has `index.json` (type, passages, the digests of what it was built from),
`starts.npy` (where the corpus's lines start), and either `vectors.npy`, perhaps with a faiss index
beside it, or a bm25s index.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.common.records import Passage, read_json
from stages.params import Compute, IndexKind
from stages.plumbing.errors import InputError
from stages.retrieval.corpus import PassageFile, sample_digest
from stages.retrieval.identity import digest

Found = list[tuple[np.ndarray, np.ndarray]]  # (positions, scores) of each query


@dataclass(frozen=True)
class SearchRequest:
    """One query of an agent with what a retriever may read beside it.

    `question` None: `query` is already the text that the retriever reads.
    """

    question: str | None
    history: tuple[str, ...]
    query: str


@dataclass(frozen=True)
class Hit:
    """A retrieved passage; `score` is a cosine or a BM25 score, to 6 decimals."""

    passage: Passage
    score: float


class Searcher:
    """Finds passages for requests; what a request is read as, and how, is the retriever's."""

    def __init__(
        self,
        passages: PassageFile,
        text: Callable[[SearchRequest], str],
        find: Callable[[list[str], int], Found],
    ):
        """`text` makes a request's text; `find` gives the best positions for distinct texts."""
        self.passages = passages
        self.text = text
        self.find = find

    def search(self, requests: list[SearchRequest], top_k: int) -> list[list[Hit]]:
        """The `top_k` best passages of each request, best first; equal texts are searched once.

        Fewer than `top_k` where the corpus is smaller. Ties: the earlier passage first.
        """
        found = self.places(requests, top_k)
        passages = {place: self.passages[place] for row in found for place, _ in row}
        return [[Hit(passages[place], score) for place, score in row] for row in found]

    def places(self, requests: list[SearchRequest], top_k: int) -> list[list[tuple[int, float]]]:
        """What `search` finds, as positions in the corpus and scores to 6 decimals."""
        texts = [r.query if r.question is None else self.text(r) for r in requests]
        distinct = list(dict.fromkeys(texts))
        found = {
            text: [(int(place), round(float(score), 6)) for place, score in zip(places, scores)]
            for text, (places, scores) in zip(distinct, self.find(distinct, top_k))
        }
        return [found[text] for text in texts]


def load_searcher(
    index_folder: str | Path,
    passages_path: str | Path,
    retriever_folder: str | Path | None,
    compute: Compute,
) -> Searcher:
    """A searcher over an index; a dense one also needs the retriever that built it.

    InputError if the index was built from another corpus or by another retriever.
    """
    folder = Path(index_folder)
    about = read_json(folder / "index.json")
    passages = _open_corpus(folder, Path(passages_path), about)
    if about["type"] == "bm25":
        from stages.retrieval.bm25 import Bm25Index

        return Searcher(passages, lambda request: request.query, Bm25Index.load(folder).search)
    if retriever_folder is None:
        raise InputError(f"{folder}: a dense index needs the retriever that built it")
    if about["retriever"] != digest(retriever_folder):
        raise InputError(f"{folder}: was built by another retriever than {retriever_folder}")
    return _dense(folder, about, passages, Path(retriever_folder), compute)


def exact_index(vectors: np.ndarray, compute: Compute):
    """Exact search over `vectors`: on the GPUs, or in place on the CPU."""
    from stages.encoders.encoding import devices
    from stages.retrieval.dense import DenseIndex
    from stages.retrieval.devices import DeviceIndex

    if compute.device == "cuda":
        return DeviceIndex(vectors, devices(compute))
    return DenseIndex(vectors)


def _dense(
    folder: Path, about: dict, passages: PassageFile, retriever_folder: Path, compute: Compute
) -> Searcher:
    import torch

    from stages.encoders.encoding import Retriever
    from stages.retrieval import approximate
    from stages.retrieval.dense import DenseIndex, open_vectors

    torch.set_num_threads(compute.threads)
    retriever = Retriever.load(retriever_folder, device=compute.device, rows=compute.encoding_batch)
    vectors = open_vectors(folder)
    if "kind" in about:
        kind, candidates = IndexKind(about["kind"]), about["candidates"]
        exact = DenseIndex(vectors)
        index = approximate.load(folder, kind, exact, candidates, compute.threads)
    else:
        index = exact_index(vectors, compute)
    return Searcher(
        passages,
        lambda r: retriever.asking.text(r.question, r.history, r.query),
        lambda texts, k: index.search(retriever.encode_queries(texts), k),
    )


def _open_corpus(folder: Path, path: Path, about: dict) -> PassageFile:
    starts = np.load(folder / "starts.npy", mmap_mode="r")
    passages = PassageFile(path, starts)
    if sample_digest(passages) != about["corpus"]:
        raise InputError(f"{folder}: was built from another corpus than {path}: build it again")
    return passages
