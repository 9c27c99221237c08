"""What workers search by: retriever servers that they share, or an index that each opens."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stages.params import Compute
from stages.plumbing.errors import InputError
from stages.retrieval.searcher import Searcher, load_searcher
from stages.serving.client import HttpSearcher
from stages.serving.process import running_server
from stages.serving.served import check_served


@contextmanager
def shared_servers(
    compute: Compute, index: str | Path, passages: str | Path, retriever: str | Path | None
) -> Iterator[list[str]]:
    """The addresses of retriever servers for the workers of a stage; none: each opens the index.

    Those of `compute.retriever_url` that serve this very index; of the others a line on standard
    error says why not. Without any, several workers of this machine get a server of their own.
    """
    if given := [address for address in compute.retriever_urls if _serves(address, index)]:
        yield given
    elif compute.ray == "local" and compute.workers > 1:
        with running_server(index, passages, retriever) as address:
            yield [address]
    else:
        yield []


def _serves(address: str, index: str | Path) -> bool:
    try:
        check_served(address, index)
    except InputError as error:
        print(f"not asked: {error}", file=sys.stderr)
        return False
    return True


def searcher_at(
    addresses: Sequence[str],
    index_folder: str | Path,
    passages_path: str | Path,
    retriever_folder: str | Path | None,
    compute: Compute,
) -> Searcher | HttpSearcher:
    """A client of the retriever servers at `addresses`, which have opened the index and find the
    same; without one, load_searcher's.
    """
    if not addresses:
        return load_searcher(index_folder, passages_path, retriever_folder, compute)
    return HttpSearcher(*addresses)
