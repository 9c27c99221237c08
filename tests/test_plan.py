"""The plan of a run, from parameters alone, and what stages took beside it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stages import plan
from stages.compose import compose
from stages.errors import run
from stages.params import CorrectnessMode, load_params
from stages.planning.costs import Planner
from stages.planning.hardware import ACCELERATORS
from stages.planning.sizes import Sizes, language_model, sizes

ROOT = Path(__file__).parents[1]
SCALES = sorted(path.stem for path in (ROOT / "conf/scale").glob("*.yaml"))


def params_of(scale: str, folder: Path):
    compose(folder / "params.yaml", [f"scale={scale}"])
    return load_params(folder / "params.yaml")


@pytest.fixture()
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def planned(params, known: Sizes) -> dict:
    return {c.stage: c for c in Planner(params, known, ACCELERATORS["h100"]).costs()}


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_can_be_planned(at_root, tmp_path, capsys, scale):
    compose(tmp_path / "params.yaml", [f"scale={scale}"])
    plan.main(["--params", str(tmp_path / "params.yaml"), "--metrics-folder", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "compare@" in printed and "In all" in printed and "nan" not in printed


def test_sizes_of_the_paper_are_read_from_its_parameters(at_root, tmp_path):
    known = sizes(params_of("paper", tmp_path), tmp_path, tmp_path / "data/corpus")
    assert (known.agent, known.judge) == (7e9, 72e9)
    assert (known.passages, known.training, known.test) == (21_015_324, 169_232, 51_713)
    assert known.measured == ()


def test_costs_follow_the_method(at_root, tmp_path):
    params = params_of("paper", tmp_path)
    known = sizes(params, tmp_path, tmp_path / "data/corpus")
    lazy = planned(params, known)
    assert lazy["agent@1"].rollouts == 100 * 512
    assert lazy["trajectories@1"].rollouts == 10_000
    params.correctness.mode = CorrectnessMode.exhaustive
    everything = planned(params, known)
    assert everything["correctness@1"].rollouts == 10_000 * known.searches * 20
    assert everything["correctness@1"].hours > lazy["correctness@1"].hours
    params.correctness.mode = CorrectnessMode.predicted
    assert planned(params, known)["correctness@1"].rollouts == pytest.approx(
        10_000 * known.searches * 20 * 0.1
    )
    params.correctness.mode = CorrectnessMode.likelihood
    reading = planned(params, known)["correctness@1"]
    assert (reading.rollouts, reading.written) == (0, 0)
    assert 0 < reading.hours < everything["correctness@1"].hours
    assert lazy["index@1"].disk == pytest.approx(21_015_324 * 768 * 2 / 1e9)
    params.replug.retrievers = ["replug"]
    baseline = planned(params, known)
    assert baseline["replug@replug"].rollouts == 10_000
    assert baseline["replug@replug"].read > 10_000 * 20 * known.passage_tokens
    assert baseline["index-replug@replug"].disk == baseline["index@1"].disk
    smaller = planned(params, replace(known, judge=7e9))
    ratio = everything["relevance@1"].hours / smaller["relevance@1"].hours
    assert ratio == pytest.approx(72 / 7)


def test_what_a_run_measured_replaces_assumptions(at_root, tmp_path):
    for stage, figures in (
        ("trajectories", {"searches": 1.5}),
        ("correctness", {"saved_share": 0.9}),
        ("pairs", {"positive_selection_rate": 0.25}),
    ):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "1.json").write_text(json.dumps(figures))
    known = sizes(params_of("paper", tmp_path), tmp_path, tmp_path / "data/corpus")
    assert (known.searches, known.selected) == (1.5, 0.25)
    assert known.lazy_share == pytest.approx(0.1)
    assert len(known.measured) == 3


def test_a_stage_that_dvc_runs_leaves_what_it_took(at_root, tmp_path, monkeypatch, capsys):
    compose(tmp_path / "params.yaml", ["scale=smoke"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "dvc.yaml:index-0")
    with pytest.raises(SystemExit):
        run(lambda: None)
    row = json.loads((tmp_path / "tmp/usage.jsonl").read_text())
    assert row["stage"] == "index-0" and row["memory_gib"] > 0
    (tmp_path / "tmp/usage.jsonl").write_text(json.dumps(row | {"hours": 1.25}) + "\n")
    plan.main([])
    assert "1.25 h" in next(li for li in capsys.readouterr().out.splitlines() if "index-0" in li)


@pytest.mark.parametrize(
    ("name", "size"),
    [("Qwen/Qwen2.5-7B", 7e9), ("a/SmolLM2-135M-Instruct", 135e6), ("x/search-r1-qwen2.5-3b", 3e9)],
)
def test_a_model_says_its_size_by_its_name(name, size):
    from stages.params import BaseModel

    assert language_model(BaseModel(model=name)) == size
