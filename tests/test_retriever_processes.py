"""Retriever training by two processes, held to one process with the batch of both."""

import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import retrieval_world as world
from safetensors.numpy import load_file
from test_retriever import curve, hashes, make_retriever, set_params, write_pairs

from stages.common.records import read_json
from stages.contrastive.processes import run_processes
from stages.plumbing.errors import InputError
from stages.running.scratch import Scratch


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


def test_a_killed_process_is_one_line():
    with pytest.raises(InputError, match=r"^training process [01] of 2 ended early \(SIGKILL\)"):
        run_processes(2, "cpu", signal.raise_signal, signal.SIGKILL)
