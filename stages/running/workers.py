"""Where a stage's shards are computed: in this process, or on Ray actors (`compute.ray`).

A stage gives `build`, which loads models and returns the function from a part to its rows. Every
worker calls it once. The rows of a part depend on the part alone, so any number of workers gives
the same bytes (of language models in 16 bits: as far as docs/scale.md says). This process saves
what is finished, in scratch; a part whose worker was lost is computed by another. A worker gets no
part before it has been seen to have the same code, inputs and packages as this process; nodes that
join while there is work get some.

A stage that searches gives `server` too: the retriever servers that its workers share, which are
there before the first of them, or none, and then each opens the index.
"""

from __future__ import annotations

import atexit
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from itertools import islice
from pathlib import Path

from stages.common import portable
from stages.params import GIVEN, Compute
from stages.plumbing.errors import KEPT, InputError
from stages.plumbing.progress import progress
from stages.plumbing.reasons import reason
from stages.running.cluster import answers, connect_ray
from stages.running.scratch import Scratch
from stages.running.sight import Sight, differences, sight

RETRIES = 3  # of a part whose worker was lost, and of workers that never came up
CHECKOUT = Path(__file__).parents[2]
LOOK = 2.0  # seconds between two looks at which nodes there are

Part = list
Advance = Callable[[int], object]  # is told of rows as they are finished
Work = Callable[[Part, Advance], list[dict]]
Build = Callable[..., Work]
Server = Callable[[], AbstractContextManager[list[str]]]  # gives addresses, or none


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
    inputs: Iterable[str | Path],
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
        Workers(build, compute, scratch, inputs=inputs, devices=devices, server=server) as workers,
    ):
        for rows in workers.map(shards(items, size), bar.update):
            yield from rows


class Workers:
    """`with Workers(build, compute, scratch, inputs=files, devices=1) as workers`, then
    `workers.map`.

    `build` must be picklable, and reads the files and folders `inputs`; a worker takes `devices`
    accelerators, if `compute.device` is one. What `build` returns calls `advance` for as many rows
    as it returns. Where workers share servers, `build` is given their `addresses`.
    """

    def __init__(
        self,
        build: Build,
        compute: Compute,
        scratch: Scratch,
        *,
        inputs: Iterable[str | Path],
        devices: int,
        server: Server | None = None,
    ):
        self.scratch = scratch
        if compute.ray:
            self.pool = _Actors(build, compute, inputs, devices, server)
        else:
            self.pool = _Here(build)

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

    def __init__(
        self,
        build: Build,
        compute: Compute,
        inputs: Iterable[str | Path],
        devices: int,
        server: Server | None,
    ):
        self.build = build
        self.server = server
        self.beside = ExitStack()
        self.compute = compute
        self.inputs = [str(path) for path in inputs]
        self.devices = 0 if compute.device == "cpu" else devices
        self.sight: Sight = {}  # of this process
        self.connected = False  # by us
        self.headless = False  # the head is gone
        self.places, self.looked = 0, 0.0  # for workers; when nodes were looked at
        self.idle: list = []
        self.tasks: dict = {}  # reference to a result -> (actor, name of the part or None)

    def run(
        self, parts: Iterator[tuple[str, Part]], advance: Advance
    ) -> Iterator[tuple[str, list[dict]]]:
        """(name, rows) of every part, as they are finished."""
        todo = deque(islice(parts, 1))
        if not todo:
            return
        self._join()
        import ray

        lost, given = Counter(), {}
        if self.server is not None:  # before the workers' engines: it takes what they leave
            if addresses := self.beside.enter_context(self.server()):
                self.build = partial(self.build, addresses=addresses)
            self.server = None
        while True:
            self._look()
            todo.extend(islice(parts, max(0, self.places - len(todo))))
            if not todo and not given:
                return
            wanted = min(self.places, len(todo) + len(given))
            for _ in range(wanted - len(self.idle) - len(self.tasks)):
                self._hire()
            while todo and self.idle:
                name, part = todo.popleft()
                given[name] = part
                self._give(self.idle.pop(), name, part)
            finished, _ = ray.wait(list(self.tasks), timeout=LOOK)
            if not finished:
                continue
            actor, name = self.tasks.pop(finished[0])
            try:
                rows = ray.get(finished[0])
            except ray.exceptions.RayTaskError as error:  # the function raised it
                raise error.cause if isinstance(error.cause, InputError) else error from None
            except ray.exceptions.RayError as error:  # the worker is gone
                if name is None:
                    self._check_checkout(error)
                lost[name] += 1
                self._dismiss(actor)
                if lost[name] > RETRIES:
                    raise InputError(_lost(name, lost[name], error)) from None
                if name is not None:
                    todo.appendleft((name, given.pop(name)))
                continue
            if name is None:
                self._check_sight(*rows)
            self.idle.append(actor)
            if name is not None:
                del given[name]
                advance(len(rows))
                yield name, rows

    def close(self) -> None:
        """Let the actors go, and Ray itself where we started or joined it."""
        if not self.idle and not self.tasks and not self.connected:
            return
        self.beside.close()
        import ray

        if self.headless:  # there is nobody to tell
            atexit.unregister(ray.shutdown)
            return
        for actor in [*self.idle, *(actor for actor, _ in self.tasks.values())]:
            self._dismiss(actor)
        self.idle, self.tasks = [], {}
        if self.connected:
            ray.shutdown()

    def _join(self) -> None:
        """Join Ray, unless we have."""
        if not self.sight:
            self.sight = sight(self.inputs)
        if not self.connected and not _initialized():
            connect_ray(self.compute)
            self.connected = True

    def _look(self) -> None:
        """Count how many workers there is room for, now and then: nodes come and go."""
        import ray

        if self.places and time.monotonic() < self.looked + LOOK:
            return
        self.looked = time.monotonic()
        self._check_head()
        need = {"CPU": self.compute.threads, "GPU": self.devices}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        room = sum(
            min(int(node.get(kind, 0)) // count for kind, count in need.items() if count)
            for node in nodes
        )
        self.places = min(self.compute.workers, room)
        if not self.places and not self.idle and not self.tasks:
            asked = f"{self.compute.threads} CPUs and {self.devices} GPUs"
            have = "; ".join(
                f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes
            )
            raise InputError(
                f"compute.ray: there is no room for a worker of {asked} on any node ({have})"
            )

    def _check_head(self) -> None:
        """InputError if the head is gone: Ray would wait a minute, and end this process then."""
        import ray

        if not answers(ray.get_runtime_context().gcs_address):
            self.headless = True
            raise InputError(
                f"compute.ray: the head of the cluster at '{self.compute.ray}' is gone: start the "
                f"cluster again; {KEPT}"
            )

    def _check_sight(self, node: str, theirs: Sight) -> None:
        """InputError if a worker would compute with something else than this process."""
        if found := differences(self.sight, theirs):
            raise InputError(
                f"compute.ray: the node {node} sees {'; '.join(found)}: all nodes need the same "
                "checkout and packages at the same paths (docs/scale.md)"
            )

    def _check_checkout(self, error: Exception) -> None:
        """InputError if a worker did not start for want of our code."""
        if "ModuleNotFoundError" in (said := str(error)):
            missing = said.rpartition("ModuleNotFoundError: ")[2].splitlines()[0]
            raise InputError(
                f"compute.ray: a node does not see this checkout at {CHECKOUT}, or not its "
                f"packages ({missing}): all nodes need both at the same paths (docs/scale.md)"
            ) from None

    def _hire(self) -> None:
        """Start an actor; it gets work once it is there."""
        import ray

        paths = [str(CHECKOUT), os.environ.get("PYTHONPATH")]
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
            .remote(self.build)
        )
        self.tasks[actor.ready.remote(os.getcwd(), self.inputs)] = (actor, None)

    def _give(self, actor, name: str, part: Part) -> None:
        self.tasks[actor.run.remote(part)] = (actor, name)

    def _dismiss(self, actor) -> None:
        import ray

        ray.kill(actor)


class _Actor:
    """What runs in a Ray worker: models are loaded with the first part."""

    def __init__(self, build: Build):
        self.here = _Here(build)

    def ready(self, folder: str, inputs: list[str]) -> tuple[str, Sight]:
        """The node's address and what is seen there from `folder`, once there is a place to run."""
        import ray

        if not os.path.isdir(folder):
            return ray.util.get_node_ip_address(), {folder: "none"}
        os.chdir(folder)
        return ray.util.get_node_ip_address(), sight(inputs)

    def run(self, part: Part) -> list[dict]:
        [(_, rows)] = self.here.run([("", part)], lambda rows: None)
        return rows


def _initialized() -> bool:
    """Whether this process has joined Ray already."""
    import sys

    return "ray" in sys.modules and sys.modules["ray"].is_initialized()


def _lost(name: str | None, times: int, error: Exception) -> str:
    what = f"the worker of shard '{name}' died" if name is not None else "a worker did not start,"
    return f"compute.ray: {what} {times} times ({reason(error)}): see the logs of Ray"
