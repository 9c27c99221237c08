"""The artifacts of dvc.yaml are the last retriever and agent, whatever iterations there are."""

import os
import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo
from omegaconf import OmegaConf

from stages.composing.compose import compose_unchecked
from stages.params import Params, load_params
from stages.plumbing.errors import InputError

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "overrides, last",
    [
        ([], "2"),
        (["+iterations.3.previous=2"], "3"),
        (["scale=smoke"], "2"),
        (["~iterations.2"], "1"),
        (["~iterations.1", "~iterations.2"], "0"),
    ],
)
def test_they_follow_the_iterations(tmp_path, monkeypatch, overrides, last):
    monkeypatch.chdir(ROOT)
    compose_unchecked(tmp_path / "params.yaml", overrides)
    shutil.copy("dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    repo = Repo.init(no_scm=True)
    found = repo.artifacts.read()["dvc.yaml"]
    paths = {name: one.path for name, one in found.items()}
    assert paths == {"retriever": f"models/retriever/{last}", "agent": f"models/agent/{last}"}
    made = {os.path.relpath(out.fs_path) for out in repo.index.outs}
    assert set(paths.values()) <= made, "a stage makes them"


def test_a_last_iteration_that_is_not_the_last_is_refused(tmp_path):
    file = tmp_path / "params.yaml"
    iterations = {"1": {"previous": "0"}, "2": {"previous": "1"}}
    for last, fine in ((None, True), ("2", True), ("1", False), ("3", False)):
        OmegaConf.save(OmegaConf.create({"iterations": iterations, "last_iteration": last}), file)
        if fine:
            assert load_params(file).last_iteration == last
        else:
            with pytest.raises(InputError, match=r"'last_iteration' must be '2'.*make params"):
                load_params(file)
    OmegaConf.save(OmegaConf.create({"last_iteration": "1"}), file)
    with pytest.raises(InputError, match="'last_iteration' must be '0'"):
        load_params(file)
    assert Params().last_iteration is None
