"""What a worker searches by: a retriever server that several share, or an index of its own."""

from __future__ import annotations

from pathlib import Path

from stages.params import Compute
from stages.retrieval.searcher import Searcher, load_searcher
from stages.serving.client import HttpSearcher


def searcher_at(
    address: str | None,
    index_folder: str | Path,
    passages_path: str | Path,
    retriever_folder: str | Path | None,
    compute: Compute,
) -> Searcher | HttpSearcher:
    """A client of the retriever server at `address`, which has opened the index and finds the same;
    without one, load_searcher's.
    """
    if address is None:
        return load_searcher(index_folder, passages_path, retriever_folder, compute)
    return HttpSearcher(address)
