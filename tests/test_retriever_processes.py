"""Retriever training by two processes, held to one process with the batch of both."""

import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import retrieval_world as world
from safetensors.numpy import load_file
from test_retriever import curve, hashes, make_retriever, set_params, write_pairs
from waiting import wait_until

from stages.common.records import read_json
from stages.contrastive.processes import run_processes
from stages.plumbing.errors import InputError
from stages.running.scratch import Scratch

ROOT = Path(__file__).parents[1]
LAUNCH = "from stages.contrastive.processes import run_processes; run_processes(2, 'cpu', exec, {})"
WAIT = """
import os, pathlib, time
pathlib.Path("started" + os.environ["RANK"]).write_text(str(os.getpid()))
os.rename("started" + os.environ["RANK"], "rank" + os.environ["RANK"])
time.sleep(7200)
"""


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """A retriever of random weights, R0, and pairs to train it on."""
    world.tiny_retriever(tmp_path / "R0")
    write_pairs(tmp_path, world.corpus())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_trained_alike(first: Path, second: Path) -> None:
    """Two retrievers that differ by rounding, little of what training changed."""
    one, other = (load_file(folder / "model.safetensors") for folder in (first, second))
    start = load_file("R0/model.safetensors")
    moved = max(np.abs(one[name] - start[name]).max() for name in one)
    apart = max(np.abs(one[name] - other[name]).max() for name in one)
    assert apart < moved / 50
    assert np.allclose(curve(first), curve(second), atol=1e-4)


def test_two_processes_and_the_gradient_cache_train_as_one(inside, monkeypatch):
    set_params(inside, retriever={"steps": 9, "batch_size": 8})
    alone = make_retriever(inside, "alone")
    set_params(inside, retriever={"steps": 9, "batch_size": 8, "cached_batch": 3})
    assert_trained_alike(alone, make_retriever(inside, "cached"))
    options = {"steps": 9, "batch_size": 4, "processes": 2, "cached_batch": 4}
    set_params(inside, retriever=options)
    monkeypatch.setattr(Scratch, "__exit__", lambda *_: None)  # leave it as a killed run does
    two = make_retriever(inside, "two")
    assert_trained_alike(alone, two)

    scratch = next(f for f in Path("tmp/scratch").iterdir() if (f / "checkpoint-8").exists())
    shutil.rmtree(scratch / "checkpoint-9")
    written = (scratch / "checkpoint-8" / "trainer_state.json").stat().st_mtime_ns
    assert hashes(make_retriever(inside, "again")) == hashes(two)
    assert Path("again.csv").read_text() == Path("two.csv").read_text()
    assert (scratch / "checkpoint-8" / "trainer_state.json").stat().st_mtime_ns == written


def test_what_is_wrong_is_one_line_from_any_process():
    with pytest.raises(InputError, match=r"^nothing\.json: cannot be read \(No such file"):
        run_processes(2, "cpu", read_json, "nothing.json")
    with pytest.raises(InputError, match="is 999, and this machine has"):
        run_processes(999, "cuda", read_json, "nothing.json")


def test_two_processes_that_diverge_are_one_line(inside):
    options = {"steps": 9, "batch_size": 4, "processes": 2, "learning_rate": 1e30}
    set_params(inside, retriever=options)
    told = r"^retriever@1, step \d: .* lower 'retriever\.learning_rate'$"
    with pytest.raises(InputError, match=told):
        make_retriever(inside, "diverged")
    assert not list(inside.glob("diverged*"))


def test_a_killed_process_is_one_line():
    with pytest.raises(InputError, match=r"^training process [01] of 2 ended early \(SIGKILL\)"):
        run_processes(2, "cpu", signal.raise_signal, signal.SIGKILL)


@pytest.mark.parametrize(
    ("sign", "interrupts"),
    [
        (signal.SIGKILL, signal.SIG_IGN),
        (signal.SIGTERM, signal.SIG_DFL),
        (signal.SIGINT, signal.SIG_DFL),
    ],
)
def test_processes_end_with_the_one_that_started_them(tmp_path, sign, interrupts):
    """Also below a script's background job, for which the shell has SIGINT ignored."""
    parent = subprocess.Popen(
        [sys.executable, "-c", LAUNCH.format(repr(WAIT))],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        preexec_fn=partial(signal.signal, signal.SIGINT, interrupts),
    )
    files = [tmp_path / "rank0", tmp_path / "rank1"]
    try:
        wait_until(lambda: all(file.exists() for file in files))
        parent.send_signal(sign)
        parent.wait()
        wait_until(lambda: not any(is_alive(int(file.read_text())) for file in files))
    finally:
        parent.kill()
        parent.wait()
        for pid in (int(file.read_text()) for file in files if file.exists()):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it is none that has ended and nobody asked for."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"
