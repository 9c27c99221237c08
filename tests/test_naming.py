"""The names of runs in MLflow: scale, changed parameters, commit."""

import shutil
import subprocess
from pathlib import Path

import pytest

from stages.composing.compose import compose_unchecked
from stages.params import Params, read_block
from stages.tracking.naming import run_name

CONF = Path(__file__).parents[1] / "conf"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with conf/ and one file of code; its commit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    shutil.copytree(CONF, "conf")
    Path("stages").mkdir()
    Path("stages/code.py").write_text("1\n")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "stages"], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], check=True)
    return subprocess.check_output(["git", "rev-parse", "HEAD"], text=True)[:7]


def composed(*overrides):
    compose_unchecked(Path("params.yaml"), list(overrides))
    return read_block("params.yaml", Params)


def named(*overrides):
    return run_name(composed(*overrides))


@pytest.mark.parametrize(
    "overrides, said",
    [
        ([], "laptop"),
        (["scale=real"], "real"),
        (["scale=smoke", "seed=7"], "smoke seed=7"),
        (["seed=7", "correctness.mode=off"], "laptop seed=7 correctness.mode=off"),
        (["~compare.base"], "laptop ~compare.base.agent ~compare.base.retriever"),
        (["compute.threads=1"], "laptop"),
    ],
)
def test_a_name_is_the_scale_and_what_differs_from_it(checkout, overrides, said):
    assert named(*overrides) == f"{said} {checkout}"


def test_many_or_long_changes_are_cut_short(checkout):
    name = named("seed=7", "report.traces=1", "report.cases_per_kind=9", "agent.steps=3")
    assert name.endswith(f"and 1 more {checkout}") and name.count("=") == 3
    name = named(f"encoder.query_prompt='{'long ' * 50}'")
    assert "encoder.query_prompt=long long long long lon…" in name and len(name) < 80


def test_code_that_changed_and_an_experiment_are_told(checkout, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "puffy-daks")
    assert named() == f"laptop {checkout} puffy-daks"
    Path("stages/code.py").write_text("2\n")
    assert named() == f"laptop {checkout}-dirty puffy-daks"


def test_a_scale_that_cannot_be_composed_is_left_out(checkout):
    Path("conf/scale/broken.yaml").write_text("defaults:\n  - nowhere\n")
    Path("conf/scale/other.yaml").write_text("corpus: 3\n")
    assert named("seed=7") == f"laptop seed=7 {checkout}"


def test_without_scales_and_commit_the_seed_is_left(checkout):
    params = composed("seed=7")
    shutil.rmtree("conf")
    shutil.rmtree(".git")
    assert run_name(params) == "seed=7"
