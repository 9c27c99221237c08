"""A corpus as vectors in one memory-mapped file, encoded chunk by chunk.

A build writes into its final file and notes each finished chunk, so a killed build goes on with the
others and ends with the same bytes; memory stays flat at any corpus size. Chunks may be encoded by
several processes, each with its own model: who encodes a chunk makes no difference to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from stages.common.records import read_json, write_json
from stages.encoders.encoding import DenseRetriever, devices
from stages.indexing.processes import Chunk, EncodingJob, encode_passages, in_processes
from stages.params import Compute
from stages.plumbing.progress import progress
from stages.retrieval.corpus import STARTS, PassageFile
from stages.retrieval.dense import VECTORS

CHUNK = 512, 32_768  # batches and passages in a chunk, at most: their tokens are in memory at once


class Store:
    """A file of vectors in the making; `note` is the file that says which chunks are done."""

    def __init__(self, file: Path, note: Path, shape: tuple[int, int], dtype: str, chunk: int):
        """Go on with the file that is there, or begin it.

        `chunk`: passages between two notes. A build that goes on keeps the size it began with.
        """
        self.note, self.passages = note, shape[0]
        # a build killed just after its folder was moved away has the note without the file
        begun = note.exists() and file.exists()
        state = read_json(note) if begun else {"chunk": chunk, "done": []}
        self.chunk, self.done = state["chunk"], set(state["done"])
        if not self.done:
            np.lib.format.open_memmap(file, mode="w+", dtype=np.dtype(dtype), shape=shape)
            _allocate(file)

    def pending(self) -> list[Chunk]:
        """The chunks that are still to be encoded, in order."""
        starts = range(0, self.passages, self.chunk)
        return [(s, min(s + self.chunk, self.passages)) for s in starts if s not in self.done]

    def finish(self, chunk: Chunk) -> None:
        """Note that the vectors of `chunk` are on disk."""
        self.done.add(chunk[0])
        write_json(self.note, {"chunk": self.chunk, "done": sorted(self.done)})


def _allocate(file: Path) -> None:
    """Have the disk keep room for all of `file`: a write into a map that finds none kills the
    process without a word. OSError names the file, which is removed, where there is no room.
    """
    try:
        with open(file, "r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
    except OSError as error:
        file.unlink()
        raise OSError(error.errno, error.strerror, str(file)) from None


def build(
    passages: PassageFile,
    retriever_folder: str | Path,
    dtype: str,
    compute: Compute,
    folder: Path,
    note: Path,
    *,
    chunk: int | None = None,
) -> np.ndarray:
    """Encode all passages into `folder`/vectors.npy, and open it; goes on with what is there.

    `folder` has the corpus's starts.npy. On a GPU, vectors stored in half precision are computed in
    it too. `chunk`: passages between two notes of progress; the bytes do not depend on it.
    """
    file, rows = folder / VECTORS, compute.encoding_batch
    half = compute.device == "cuda" and dtype == "float16"
    alone = compute.devices == 1
    retriever = DenseRetriever.load(
        retriever_folder, device=compute.device if alone else "cpu", rows=rows, half=half
    )
    shape = (len(passages), retriever.dimension)
    batches, most = CHUNK
    store = Store(file, note, shape, dtype, chunk or min(batches * rows, most))
    with progress(total=len(passages), desc="encoding", unit="passage") as bar:
        pending = store.pending()
        bar.update(len(passages) - sum(last - first for first, last in pending))
        if alone:
            finished = _here(passages, retriever, file, pending, bar.update)
        else:
            corpus = passages.path, folder / STARTS
            job = EncodingJob(*corpus, Path(retriever_folder), file, rows, compute.threads, half)
            finished = in_processes(job, pending, devices(compute), bar.update)
        with closing(finished):
            for done in finished:
                store.finish(done)
    return np.load(file, mmap_mode="r")


def _here(passages, retriever, file, pending: list[Chunk], advance) -> Iterator[Chunk]:
    for chunk in pending:
        encode_passages(passages, retriever, file, chunk, advance)
        yield chunk
