"""Shards on Ray actors: the bytes of the local run, also where a worker dies on the way."""

import os
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import label_world as world
import pytest
from label_world import arguments, set_params, write_relevance

from stages import candidates, correctness, index, relevance, trajectories
from stages.common.records import read_json, write_questions
from stages.params import Compute
from stages.plumbing.errors import InputError
from stages.running.cluster import SOCKET, SOCKET_BYTES, check_sockets, connect_ray
from stages.running.scratch import Scratch
from stages.running.workers import Workers, shards

BM25 = "--passages passages.jsonl --bm25 --output bm25 --metrics bm25.json"
RAY = {"ray": "local", "workers": 2, "threads": 1}


@pytest.fixture(scope="module")
def ray():
    """Started once, for all tests; with places for the workers of one while another's go."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "init", partial(ray.init, num_gpus=2))  # as many as Ray would give out
        connect_ray(Compute(**RAY | {"workers": 4}))
    yield ray
    ray.shutdown()


@pytest.fixture
def compute():
    return Compute(**RAY)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Scratch("workers", "test") as scratch:
        yield scratch


def doubling(marker: Path, deaths: int):
    """A `build` whose workers die at the number 3, as long as `marker` is shorter than `deaths`."""

    def build():
        def double(part, advance):
            if 3 in part and len(marker.read_text()) < deaths:
                marker.write_text(marker.read_text() + "x")
                os._exit(1)
            return [{"pid": os.getpid(), "twice": 2 * number} for number in part]

        return double

    marker.write_text("")
    return build


@pytest.mark.parametrize("deaths", [0, 1, 3])
def test_a_lost_part_is_computed_by_another_worker(ray, compute, scratch, tmp_path, deaths):
    counted = []
    build = doubling(tmp_path / "marker", deaths)
    with Workers(build, compute, scratch, inputs=[], devices=1) as workers:
        parts = list(workers.map(shards([*range(12)], 2), counted.append))
        again = list(workers.map(shards([*range(12)], 2), counted.append))
    assert [row["twice"] for rows in parts for row in rows] == [2 * n for n in range(12)]
    assert again == parts, "saved parts are not computed twice"
    assert counted == [2] * 12
    assert len((tmp_path / "marker").read_text()) == deaths
    assert os.getpid() not in {row["pid"] for rows in parts for row in rows}


def test_a_part_that_kills_every_worker_ends_the_stage(ray, compute, scratch, tmp_path):
    build = doubling(tmp_path / "marker", 99)
    with (
        Workers(build, compute, scratch, inputs=[], devices=1) as workers,
        pytest.raises(InputError, match="worker of shard '00000002' died 4 times"),
    ):
        list(workers.map(shards([*range(12)], 2), lambda rows: None))


def test_an_input_error_of_a_worker_is_that_error(ray, compute, scratch):
    def build():
        raise InputError("agent: no such model folder")

    with (
        Workers(build, compute, scratch, inputs=[], devices=1) as workers,
        pytest.raises(InputError, match=r"^agent: no such model folder$"),
    ):
        list(workers.map([("a", [1])], lambda rows: None))


def test_no_room_for_a_worker_is_one_clear_line(ray, compute, scratch):
    compute.device = "cuda"
    with (
        Workers(list, compute, scratch, inputs=[], devices=4) as workers,
        pytest.raises(InputError, match=r"compute\.ray: there is no room .* 4 GPUs"),
    ):
        list(workers.map([("a", [1])], lambda rows: None))


def test_no_node_with_room_for_a_worker_is_one_clear_line(ray, compute, scratch):
    """Also where all nodes together would have it."""
    compute.threads = 999
    with (
        Workers(list, compute, scratch, inputs=[], devices=1) as workers,
        pytest.raises(InputError, match=r"no room for a worker of 999 CPUs .* on any node \(\d"),
    ):
        list(workers.map([("a", [1])], lambda rows: None))


def test_a_worker_that_sees_something_else_gets_no_part(ray, compute, scratch):
    with Workers(list, compute, scratch, inputs=["input"], devices=1) as workers:
        workers.pool.sight = {"input": "what this process saw of it"}
        told = r"^compute\.ray: the node \S+ sees no input: all nodes need"
        with pytest.raises(InputError, match=told):
            list(workers.map([("a", [1])], lambda rows: None))


def test_a_worker_without_a_place_leaves_its_parts_to_others(ray, compute, scratch):
    """Of the four places that Ray has, another program holds three."""

    class Other:
        def there(self):
            pass

    other = ray.remote(num_cpus=3)(Other).remote()
    ray.get(other.there.remote())

    def build():
        return lambda part, advance: [{"pid": os.getpid()} for _ in part]

    with Workers(build, compute, scratch, inputs=[], devices=1) as workers:
        parts = list(workers.map(shards([*range(12)], 2), lambda rows: None))
    assert len({row["pid"] for rows in parts for row in rows}) == 1
    ray.kill(other)


def test_a_worker_searches_on_the_devices_that_it_was_given(ray, scratch):
    """Of `devices: 8`, one; as many are present for it as it sees, as with CUDA."""
    compute = Compute(**RAY | {"device": "cuda", "devices": 8})

    def build():
        import torch

        from stages.encoders.encoding import devices

        torch.cuda.device_count = lambda: len(os.environ["CUDA_VISIBLE_DEVICES"].split(","))
        return lambda part, advance: [{"devices": devices(compute)} for _ in part]

    with Workers(build, compute, scratch, inputs=[], devices=1) as workers:
        assert list(workers.map([("a", [1])], lambda rows: None)) == [[{"devices": ["cuda:0"]}]]


def test_workers_share_one_server_that_is_there_before_them(ray, compute, scratch):
    """Started when there is work, once; ended with the stage."""
    seen = []

    @contextmanager
    def server():
        seen.append("up")
        yield ["http://here"]
        seen.append("down")

    def build(addresses=()):
        return lambda part, advance: [{"at": addresses, "pid": os.getpid()} for _ in part]

    with Workers(build, compute, scratch, inputs=[], devices=1, server=server) as workers:
        assert seen == []
        rows = [row for part in workers.map(shards([*range(8)], 1), int) for row in part]
        list(workers.map(shards([*range(8)], 1), int))  # all saved
        assert seen == ["up"]
    assert seen == ["up", "down"]
    assert all(row["at"] == ["http://here"] for row in rows)
    with Workers(
        build, compute, scratch, inputs=[], devices=1, server=lambda: nullcontext([])
    ) as workers:
        assert not next(workers.map([("z", [1])], int))[0]["at"]


def test_a_cluster_that_says_nothing_is_one_clear_line(monkeypatch):
    import ray

    def fails(*arguments, **options):
        raise ConnectionError

    monkeypatch.setattr(ray, "init", fails)
    with pytest.raises(InputError, match=r"no cluster at 'auto' \(ConnectionError\)$"):
        connect_ray(Compute(ray="auto"))


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
def test_a_temporary_folder_of_too_long_a_path_is_one_clear_line(monkeypatch, tmp_path, variable):
    """Ray's own limit, asked of Ray: what passes here is what it accepts."""
    from ray._private.utils import validate_socket_filepath

    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(variable, "/tmp/" + "x" * 80)
    with pytest.raises(InputError, match=r"compute.ray: in the temporary folder /tmp/x+ .* 107 by"):
        connect_ray(Compute(ray="local"))
    room = SOCKET_BYTES - len(SOCKET) - 1
    for length in (room, room + 1):
        folder = "/" + "y" * (length - 1)
        monkeypatch.setenv(variable, folder)
        if length == room:
            check_sockets()
            validate_socket_filepath(f"{folder}/{SOCKET}")
        else:
            with pytest.raises(InputError):
                check_sockets()
            with pytest.raises(OSError):
                validate_socket_filepath(f"{folder}/{SOCKET}")


# the stages


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The world of labels, searched by BM25, whose workers start fastest, and by vectors."""
    path = tmp_path_factory.mktemp("workers")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        world.build(path)
        world.teach(path / "judge", world.judging, steps=100)
        index.main(BM25.split())
        write_questions("questions.jsonl", world.QUESTIONS)
        candidates.main(arguments("candidates"))
        write_relevance(0)
    return path


@pytest.mark.parametrize(
    ("stage", "shard", "changes", "dies"),
    [
        (trajectories, 2, {"index": "bm25"}, True),
        (candidates, 5, {}, False),
        (relevance, 3, {}, False),
        (correctness, 40, {}, False),
    ],
)
def test_two_workers_give_the_local_bytes(ray, built, monkeypatch, stage, shard, changes, dies):
    """Also where one of them dies in the middle."""
    monkeypatch.chdir(built)
    monkeypatch.setattr(stage, "SHARD", shard)
    name = stage.__name__.rpartition(".")[2]
    settings = {"trajectories": {"questions": len(world.QUESTIONS)}}
    set_params(**settings)
    files = {"output": f"local/{name}.jsonl", "metrics": f"local/{name}.json"}
    stage.main(arguments(name, **changes, **files))
    set_params(**settings, compute=RAY)
    marker = built / f"{name}.died"
    if dies:
        monkeypatch.setattr(stage, "_build", dying_once(stage._build, marker))
    files = {"output": f"ray/{name}.jsonl", "metrics": f"ray/{name}.json"}
    stage.main(arguments(name, **changes, **files))
    assert marker.exists() == dies
    assert Path(f"ray/{name}.jsonl").read_bytes() == Path(f"local/{name}.jsonl").read_bytes()
    assert read_json(f"ray/{name}.json") == read_json(f"local/{name}.json")
    assert Path(f"local/{name}.jsonl").stat().st_size > 0


def dying_once(build, marker: Path):
    """A `build` whose first worker dies when it has computed a part and before it can tell."""

    def built(*arguments, **options):
        work = build(*arguments, **options)

        def once(part, advance):
            rows = work(part, advance)
            if not marker.exists():
                marker.touch()
                os._exit(1)
            return rows

        return once

    return built
