"""The cluster of docs/scale.md: its commands as they stand, and what a stage says of a bad one."""

import contextlib
import signal
import socket
import subprocess
import threading
import time
from importlib import metadata
from pathlib import Path

import label_world as world
import pytest
from cluster_world import cluster, free_port, recipe
from label_world import arguments, set_params

from stages import index, trajectories
from stages.common.records import write_questions
from stages.params import Compute
from stages.plumbing.errors import InputError
from stages.running.cluster import connect_ray, token_mode
from stages.running.sight import BLOCK, BLOCKS, WHOLE, differences, sight

REPO = Path(__file__).parents[1]
QUESTIONS = len(world.QUESTIONS)
JOB = "python -m cluster_job trajectories --shard 1 --notes notes"


def test_the_commands_of_the_page_label_as_one_process_does(tmp_path, monkeypatch):
    """Start, join, label, stop: word for word, but for the ports and folders of this machine, the
    size of the world, and parts of one question instead of `dvc repro` with its 256.
    """
    monkeypatch.chdir(tmp_path)
    world.build(tmp_path)
    write_questions("questions.jsonl", world.QUESTIONS)
    index.main(
        ["--passages", "passages.jsonl", "--bm25", "--output", "bm25", "--metrics", "bm25.json"]
    )
    set_params(trajectories={"questions": QUESTIONS})
    files = {"index": "bm25", "output": "local.jsonl", "metrics": "local.json"}
    trajectories.main(arguments("trajectories", **files))
    for name in ("conf", "stages/prompts"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(REPO / name)
    words = " ".join(arguments("trajectories", **files | {"output": "two.jsonl"}))
    with cluster() as made:
        script = made.placed(recipe())
        composed = f"compute.threads=1 trajectories.questions={QUESTIONS}"
        for before, after in (
            ("compute.threads=1", composed),
            ("dvc repro trajectories@1", f"{JOB} {words}"),
        ):
            assert before in script
            script = script.replace(before, after)
        said = made.folder / "said"  # a pipe would stay open as long as a node that is left
        with open(said, "w") as out:
            done = subprocess.run(
                ["bash", "-ec", f"{script}wait"],
                cwd=tmp_path,
                env=made.environment,
                stdout=out,
                stderr=out,
            )
        assert Path("two.jsonl").exists(), said.read_text()
        assert Path("two.jsonl").read_bytes() == Path("local.jsonl").read_bytes()
        assert done.returncode in (0, 128 + signal.SIGTERM), said.read_text()
        assert len(Path("notes").read_text().split()) >= QUESTIONS
        assert not made.left(), "what was started has been stopped"


def test_a_cluster_that_is_not_there_is_one_line_at_once():
    """Ray itself would wait for ever."""
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(InputError, match=rf"^compute\.ray: no cluster at '{address}'"):
        connect_ray(Compute(ray=address))


def test_blanks_around_an_address_are_nobody_s():
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(InputError, match=rf"no cluster at '{address}' \(nothing answers there\)"):
        connect_ray(Compute(ray=f" {address} "))


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", None])
def test_what_is_no_head_is_one_line_in_seconds(says, monkeypatch):
    """A web server, a port that closes at once, a silent one: Ray would wait for minutes."""
    monkeypatch.setattr("stages.running.cluster.PATIENCE", 1.0)
    held = []

    def answer(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                held.append(server.accept()[0])
                if says is not None:
                    held[-1].sendall(says)
                    held[-1].close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, args=[server], daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(InputError, match=rf"no cluster at '{address}' \(what .* is not Ray\)"):
            connect_ray(Compute(ray=address))
        assert time.monotonic() - begun < 10


@pytest.mark.parametrize("build", ["faiss-cpu", "faiss-cuda"])
def test_whichever_build_of_faiss_is_there_is_compared(build, monkeypatch):
    ours = sight([])
    assert ours["faiss"].startswith("faiss-") and "none" not in ours["ray"]
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"faiss": [build]})
    monkeypatch.setattr(metadata, "version", lambda name: "1.0")
    [said] = [each for each in differences(ours, sight([])) if each.startswith("faiss")]
    assert said == f"faiss {build} 1.0, here {ours['faiss']}"


@pytest.mark.parametrize(
    ("variables", "mode"),
    [
        ({}, {}),
        ({"RAY_AUTH_TOKEN": "secret"}, {"RAY_AUTH_MODE": "token"}),
        ({"RAY_AUTH_TOKEN_PATH": "token"}, {"RAY_AUTH_MODE": "token"}),
        ({"RAY_AUTH_TOKEN_PATH": "none"}, {}),
        ({"RAY_AUTH_TOKEN": "secret", "RAY_AUTH_MODE": "disabled"}, {}),
    ],
)
def test_a_token_is_shown_where_there_is_one(tmp_path, monkeypatch, variables, mode):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "token").write_text("x")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert token_mode() == mode


def test_what_differs_between_nodes_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("folder/a").write_text("one")
    ours = sight(["folder", "missing"])
    assert differences(ours, sight(["folder", "missing"])) == []
    Path("folder/a").write_text("two")
    [said] = differences(ours, sight(["folder", "missing"]))
    assert said.startswith("folder ") and ", here " in said
    Path("folder/a").unlink()
    Path("folder").rmdir()
    assert differences(ours, sight(["folder", "missing"])) == ["no folder"]
    other = ours | {"transformers": "0.1", "the code": "f" * 64}
    said = differences(ours, other)
    assert said[0].startswith("transformers 0.1, here ") and said[1].startswith("the code ffff")


@pytest.mark.parametrize("place", [0, BLOCK - 1, -1, None])
def test_of_a_large_file_blocks_and_size_are_compared(tmp_path, place):
    """Its first and last block among them; None: one byte more."""
    assert BLOCKS * BLOCK <= WHOLE
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(WHOLE + 1)
    before = sight([large])
    with open(large, "r+b") as file:
        file.seek(*((0, 2) if place is None else (place, 2 if place < 0 else 0)))
        file.write(b"x")
    assert differences(before, sight([large]))
