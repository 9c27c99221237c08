"""The retriever servers that a training by verl searches with: a new one, or those that run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from stages.ppo.task import Task
from stages.serving.process import running_server
from stages.serving.served import check_served


def retriever_of(task: Task):
    """A context: the addresses of the retriever servers, of a new one where there is none.

    InputError if one of those that run serves another index than the task's, or does not answer.
    """
    addresses = task.params.compute.retriever_urls
    for address in addresses:
        check_served(address, task.index)
    return nullcontext(addresses) if addresses else _own(task)


@contextmanager
def _own(task: Task) -> Iterator[list[str]]:
    with running_server(task.index, task.passages, task.retriever) as address:
        yield [address]
