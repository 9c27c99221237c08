"""Where a stage's shards are computed: in this process, or on Ray actors (`compute.ray`).

A stage gives `build`, which loads models and returns the function from a part to its rows. Every
worker calls it once. The rows of a part depend on the part alone, so any number of workers gives
the same bytes (of language models in 16 bits: as far as docs/scale.md says). This process saves
what is finished, in scratch; a part whose worker was lost is computed by another.

A stage that searches gives `server` too. Several workers of this machine then share one retriever
server, which is started before the first of them, rather than open the index each.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from itertools import islice
from pathlib import Path

from stages.common import portable
from stages.params import GIVEN, Compute
from stages.plumbing.errors import InputError
from stages.plumbing.progress import progress
from stages.plumbing.reasons import reason
from stages.running.scratch import Scratch

RETRIES = 3  # of a part whose worker was lost, and of workers that never came up

ENVIRONMENT = {  # of a Ray that we start
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_process_group_cleanup_enabled": "1",  # the engine of a worker that dies ends with it
}

SOCKET = "ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"  # the longest
SOCKET_BYTES = 107  # of a path, by the operating system

Part = list
Advance = Callable[[int], object]  # is told of rows as they are finished
Work = Callable[[Part, Advance], list[dict]]
Build = Callable[..., Work]
Server = Callable[[], AbstractContextManager[str]]  # gives its address


def shards(items: Iterable, size: int, first: int = 0) -> Iterator[tuple[str, Part]]:
    """`items` in parts of `size`, each named by the number of its first item from `first` on."""
    left = iter(items)
    while part := list(islice(left, size)):
        yield f"{first:08d}", part
        first += len(part)


def rows_of(
    items: Iterable,
    size: int,
    build: Build,
    compute: Compute,
    scratch: Scratch,
    *,
    devices: int,
    desc: str,
    unit: str,
    total: int,
    server: Server | None = None,
) -> Iterator[dict]:
    """The rows of all `items`, in shards of `size`, with a progress bar over `total` rows.

    A shard's items and rows are in memory at a time. See Workers for the others.
    """
    with (
        progress(total=total, desc=desc, unit=unit) as bar,
        Workers(build, compute, scratch, devices=devices, server=server) as workers,
    ):
        for rows in workers.map(shards(items, size), bar.update):
            yield from rows


class Workers:
    """`with Workers(build, compute, scratch, devices=1) as workers`, then `workers.map`.

    `build` must be picklable; a worker takes `devices` accelerators, if `compute.device` is one.
    What `build` returns calls `advance` for as many rows as it returns. Where workers share the
    `server`, `build` is given its `address`.
    """

    def __init__(
        self,
        build: Build,
        compute: Compute,
        scratch: Scratch,
        *,
        devices: int,
        server: Server | None = None,
    ):
        self.scratch = scratch
        shared = server if compute.ray == "local" and compute.workers > 1 else None
        self.pool = _Actors(build, compute, devices, shared) if compute.ray else _Here(build)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.close()

    def map(self, parts: Iterable[tuple[str, Part]], advance: Advance) -> Iterator[list[dict]]:
        """The rows of each (name, part), in order; those that an earlier attempt saved come from
        scratch. Parts are taken as there is room for them.

        InputError if one is lost again and again, or from `build` and its function.
        """
        taken: deque[tuple[str, bool]] = deque()  # a name, and whether it was saved before

        def missing() -> Iterator[tuple[str, Part]]:
            for name, part in parts:
                saved = self.scratch.has(name)
                taken.append((name, saved))
                if not saved:
                    yield name, part

        def whole() -> Iterator[list[dict]]:
            while taken and self.scratch.has(taken[0][0]):
                name, saved = taken.popleft()
                rows = self.scratch.rows(name)
                if saved:
                    advance(len(rows))
                yield rows

        for name, rows in self.pool.run(missing(), advance):
            self.scratch.save(name, rows)
            yield from whole()
        yield from whole()


class _Here:
    """This process; models are loaded for the first part that is not saved."""

    def __init__(self, build: Build):
        self.build = build
        self.work: Work | None = None

    def run(
        self, parts: Iterable[tuple[str, Part]], advance: Advance
    ) -> Iterator[tuple[str, list[dict]]]:
        for name, part in parts:
            self.work = self.work or self.build()
            yield name, self.work(part, advance)

    def close(self) -> None:
        self.work = None


class _Actors:
    """Ray actors, hired when there is work for them. All see the same files at the same paths."""

    def __init__(self, build: Build, compute: Compute, devices: int, server: Server | None):
        self.build = build
        self.server = server
        self.beside = ExitStack()
        self.compute = compute
        self.devices = 0 if compute.device == "cpu" else devices
        self.connected = False  # by us
        self.idle: list = []
        self.tasks: dict = {}  # reference to a result -> (actor, name of the part or None)

    def run(
        self, parts: Iterator[tuple[str, Part]], advance: Advance
    ) -> Iterator[tuple[str, list[dict]]]:
        """(name, rows) of every part, as they are finished."""
        todo = deque(islice(parts, 1))
        if not todo:
            return
        import ray

        places, lost, given = self._places(), Counter(), {}
        if self.server is not None:  # before the workers' engines: it takes what they leave
            self.build = partial(self.build, address=self.beside.enter_context(self.server()))
            self.server = None
        while True:
            todo.extend(islice(parts, max(0, places - len(todo))))
            if not todo and not given:
                return
            wanted = min(places, len(todo) + len(given))
            for _ in range(wanted - len(self.idle) - len(self.tasks)):
                self._hire()
            while todo and self.idle:
                name, part = todo.popleft()
                given[name] = part
                self._give(self.idle.pop(), name, part)
            [finished], _ = ray.wait(list(self.tasks))
            actor, name = self.tasks.pop(finished)
            try:
                rows = ray.get(finished)
            except ray.exceptions.RayTaskError as error:  # the function raised it
                raise error.cause if isinstance(error.cause, InputError) else error from None
            except ray.exceptions.RayError as error:  # the worker is gone
                lost[name] += 1
                self._dismiss(actor)
                if lost[name] > RETRIES:
                    raise InputError(_lost(name, lost[name], error)) from None
                if name is not None:
                    todo.appendleft((name, given.pop(name)))
                continue
            self.idle.append(actor)
            if name is not None:
                del given[name]
                advance(len(rows))
                yield name, rows

    def close(self) -> None:
        """Let the actors go, and Ray itself where we started or joined it."""
        if not self.idle and not self.tasks and not self.connected:
            return
        import ray

        for actor in [*self.idle, *(actor for actor, _ in self.tasks.values())]:
            self._dismiss(actor)
        self.idle, self.tasks = [], {}
        self.beside.close()
        if self.connected:
            ray.shutdown()

    def _places(self) -> int:
        """How many workers there is room for; joins Ray first."""
        import ray

        if not ray.is_initialized():
            connect_ray(self.compute)
            self.connected = True
        have = ray.cluster_resources()
        need = {"CPU": self.compute.threads, "GPU": self.devices}
        room = min(int(have.get(kind, 0)) // count for kind, count in need.items() if count)
        if not room:
            asked = f"{self.compute.threads} CPUs and {self.devices} GPUs"
            raise InputError(f"compute.ray: there is no room for a worker of {asked}")
        return min(self.compute.workers, room)

    def _hire(self) -> None:
        """Start an actor; it gets work once it is there."""
        import ray

        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]
        environment = {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "OMP_NUM_THREADS": str(self.compute.threads),
            **{name: os.environ[name] for name in portable.VARIABLES if name in os.environ},
            GIVEN: str(self.devices),
        }
        actor = (
            ray.remote(_Actor)
            .options(
                num_cpus=self.compute.threads,
                num_gpus=self.devices,
                scheduling_strategy="SPREAD",
                runtime_env={"env_vars": environment},
            )
            .remote(self.build, os.getcwd())
        )
        self.tasks[actor.ready.remote()] = (actor, None)

    def _give(self, actor, name: str, part: Part) -> None:
        self.tasks[actor.run.remote(part)] = (actor, name)

    def _dismiss(self, actor) -> None:
        import ray

        ray.kill(actor)


class _Actor:
    """What runs in a Ray worker: models are loaded with the first part."""

    def __init__(self, build: Build, folder: str):
        os.chdir(folder)
        self.here = _Here(build)

    def ready(self) -> None:
        """Returns once the actor has a place to run."""

    def run(self, part: Part) -> list[dict]:
        [(_, rows)] = self.here.run([("", part)], lambda rows: None)
        return rows


def connect_ray(compute: Compute) -> None:
    """Join the cluster at `compute.ray`, or start Ray on this machine. InputError if none is there.

    Ray gives up on its own daemon after 30 seconds, which a busy machine needs now and then.
    """
    import ray

    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    options = {"logging_level": "ERROR", "log_to_driver": False}
    if compute.ray == "local":
        check_sockets()
        cpus = max(os.cpu_count() or 1, compute.workers * compute.threads)
        for last in (False, False, True):
            try:
                ray.init("local", num_cpus=cpus, include_dashboard=False, **options)
                return
            except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
                raise InputError(f"compute.ray: {reason(error)}: see RAY_TMPDIR, TMPDIR") from None
            except Exception:  # of no class of its own
                ray.shutdown()
                if last:
                    raise
    try:
        ray.init(compute.ray, **options)
    except (ConnectionError, ValueError) as error:
        why = f"compute.ray: no cluster at '{compute.ray}' ({reason(error)})"
        raise InputError(why) from None


def check_sockets() -> None:
    """InputError if the paths of Ray's sockets would be longer than the system allows.

    They lie below the temporary folder that RAY_TMPDIR or TMPDIR names, else below /tmp.
    """
    from ray._common.utils import get_default_system_temp_dir

    folder = get_default_system_temp_dir()
    if len(os.fsencode(os.path.join(folder, SOCKET))) > SOCKET_BYTES:
        raise InputError(
            f"compute.ray: in the temporary folder {folder} the paths of Ray's sockets would be "
            f"longer than {SOCKET_BYTES} bytes: set RAY_TMPDIR to a shorter one, such as /tmp"
        )


def _lost(name: str | None, times: int, error: Exception) -> str:
    what = f"the worker of shard '{name}' died" if name is not None else "a worker did not start,"
    return f"compute.ray: {what} {times} times ({reason(error)}): see the logs of Ray"
