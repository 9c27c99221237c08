"""Chunks of a corpus encoded by several processes, each with its own model on its own device."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np

from stages.encoders.encoding import DenseRetriever
from stages.plumbing.errors import InputError, of_files
from stages.retrieval.corpus import PassageFile

Chunk = tuple[int, int]  # its first passage, and the one after its last

ENDED = "a process that encodes passages ended early: start the stage again, what is done is kept"


@dataclass(frozen=True)
class EncodingJob:
    """What a process must know: files, texts in a forward pass, its threads, half precision."""

    passages: Path
    starts: Path
    retriever: Path
    vectors: Path
    rows: int
    threads: int
    half: bool


def encode_passages(
    passages: PassageFile,
    retriever: DenseRetriever,
    file: Path,
    chunk: Chunk,
    advance: Callable[[int], object] = lambda count: None,
) -> None:
    """Encode a chunk into its place in `file`, on disk when this returns.

    The file is mapped anew for each chunk: pages of earlier chunks do not stay in memory.
    """
    first, last = chunk
    contents = [passage.contents for passage in passages.between(first, last)]
    encoded = retriever.encode_passages(contents, advance)
    vectors = np.load(file, mmap_mode="r+")
    vectors[first:last] = encoded
    vectors.flush()


def in_processes(
    job: EncodingJob, chunks: list[Chunk], devices: list[str], advance: Callable[[int], object]
) -> Iterator[Chunk]:
    """Encode `chunks`, one process a device, and yield each when its vectors are on disk.

    InputError for a bad passage, or when a process ends early (killed, or out of memory).
    """
    context = multiprocessing.get_context("spawn")
    waiting, workers = chunks[::-1], {}
    try:
        for device in devices[: len(chunks)]:
            pipe, theirs = context.Pipe()
            process = context.Process(target=work, args=(job, device, theirs), daemon=True)
            process.start()
            theirs.close()
            workers[pipe] = process
            pipe.send(waiting.pop())
        busy = set(workers)
        while busy:
            for pipe in wait(list(busy)):
                done = received(pipe, workers[pipe])
                advance(done[1] - done[0])
                yield done
                if waiting:
                    pipe.send(waiting.pop())
                else:
                    busy.remove(pipe)
    except BrokenPipeError:
        raise InputError(ENDED) from None
    finally:
        for process in workers.values():
            process.kill()
            process.join()


def received(pipe: Connection, process) -> Chunk:
    """The chunk that `process` says is done. InputError if it says or does otherwise."""
    try:
        message = pipe.recv()
    except (EOFError, ConnectionResetError):
        process.join()
        raise InputError(f"{ENDED} (exit code {process.exitcode})") from None
    if isinstance(message, InputError):
        raise message
    return message


def work(job: EncodingJob, device: str, pipe: Connection) -> None:
    """Encode what comes through `pipe`, until its other end is closed: with the parent, it ends."""
    import torch

    torch.set_num_threads(job.threads)
    retriever = DenseRetriever.load(job.retriever, device=device, rows=job.rows, half=job.half)
    passages = PassageFile(job.passages, np.load(job.starts, mmap_mode="r"))
    while True:
        try:
            chunk = pipe.recv()
        except EOFError:
            return
        try:
            encode_passages(passages, retriever, job.vectors, chunk)
        except InputError as error:
            pipe.send(error)
            return
        except OSError as error:
            if (said := of_files(error)) is None:
                raise
            pipe.send(InputError(said))
            return
        pipe.send(chunk)
