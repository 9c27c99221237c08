"""Training by several processes: of this machine, started by the one that the user started, or of
several machines, each of which runs torchrun.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable

from stages.plumbing.errors import InputError, of_files
from stages.plumbing.finite import NotFinite
from stages.running.ending import end_with


def run_processes(count: int, device: str, work: Callable[..., None], *arguments) -> None:
    """Call `work(*arguments)` in `count` processes that torch.distributed joins; wait for all.

    Each finds its rank in the environment, as under torchrun. They end with this process, however
    that ends, and all end when one fails. InputError if one is killed, or there are fewer GPUs.
    """
    import torch

    if device == "cuda" and torch.cuda.device_count() < count:
        raise InputError(
            f"'retriever.processes' is {count}, and this machine has {torch.cuda.device_count()} "
            "GPUs: one process with the batch of all, and 'retriever.cached_batch', trains the same"
        )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    try:
        told = (os.getpid(), count, port, device, work, arguments)
        torch.multiprocessing.spawn(_process, told, nprocs=count, daemon=True)  # ends at our exit
    except torch.multiprocessing.ProcessRaisedException as error:
        for kind in (InputError, NotFinite):  # the text of a traceback ends with it
            name = f"{kind.__module__}.{kind.__name__}: "
            _, found, reason = str(error).rstrip().rpartition(name)
            if found:
                raise kind(reason) from None
        raise
    except torch.multiprocessing.ProcessExitedException as error:
        how = error.signal_name or f"exit code {error.exit_code}"
        raise InputError(
            f"training process {error.error_index} of {count} ended early ({how}): start the stage "
            "again, it goes on from its last checkpoint"
        ) from None


def launched() -> bool:
    """Whether torchrun started this process, as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def run_launched(count: int, work: Callable[..., None], *arguments) -> None:
    """Call `work(*arguments)` in this process, which torchrun started as one of `count`.

    InputError if torchrun started another number.
    """
    started = int(os.environ["WORLD_SIZE"])
    if started != count:
        raise InputError(
            f"torchrun starts {started} processes on all nodes together, and 'retriever.processes' "
            f"is {count}: the batch, and with it the result, is that of so many"
        )
    _work(work, arguments)


def _process(
    rank: int, parent: int, count: int, port: int, device: str, work: Callable, arguments: tuple
):
    end_with(parent, signal.SIGKILL)  # torch asks for SIGINT, which a background job ignores
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    os.environ.update({name: str(value) for name, value in places.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # or accelerate would choose in `work`'s place
    if device == "cpu" and sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # a host's name may lead nowhere
    _work(work, arguments)


def _work(work: Callable, arguments: tuple) -> None:
    import torch

    try:
        work(*arguments)
    except Exception as error:
        if (said := of_files(error)) is None:
            raise
        raise InputError(said) from None
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
