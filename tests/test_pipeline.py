"""The whole DAG, both iterations, smallest size, from a clean clone; what a change reruns."""

import csv
import json
import random

import pytest
import yaml
from checkout import ROOT, command, compose_in, copy_of_checkout, stages_run
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from kept_bytes import kept_here
from kill_stages import Flywheel
from portable_stages import KEPT, differing, smoke
from random_params import SEED, draw

WHOLE = (133, 173, 181)  # GRPO and float16; hnsw and few passages; visits, then GAC, no mask
# What a combination does to the tiny models is not the matter: their losses end no run.
GUARDS = ("trajectories.max_dropped=1", "relevance.max_dropped=1", "correctness.max_dropped=1")
SCALES = sorted(path.stem for path in (ROOT / "conf/scale").glob("*.yaml"))


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone of what git tracks here, as it stands in the working tree, at the smoke scale."""
    return copy_of_checkout(tmp_path_factory.mktemp("clone") / "repo", "scale=smoke")


@pytest.fixture(scope="module")
def first_run(clone):
    return command(clone, "dvc", "repro")


def test_both_iterations_run_and_the_kept_models_do_not(clone, first_run):
    ran = set(stages_run(first_run))
    listed = set(command(clone, "dvc", "stage", "list", "--name-only").split())
    assert ran == listed - {"base"}
    assert {"agent@2", "retriever@2", "evaluate@2", "index@2", "compare@agent2_r1"} <= ran


@kept_here
def test_every_output_is_the_kept_bytes(clone, first_run):
    """Where bytes are meant to change: PYTHONPATH=.:tests python -m portable_stages --write"""
    assert differing({"smoke": smoke(clone)}, json.loads(KEPT.read_text())) == []


def test_counts_balance(clone, first_run):
    for file in sorted((clone / "metrics").rglob("*.json")):
        counts = json.loads(file.read_text())
        if "dropped" in counts:
            assert counts["in"] == counts["out"] + sum(counts["dropped"].values()), file


def test_a_second_run_does_nothing(clone, first_run):
    assert stages_run(command(clone, "dvc", "repro")) == []


def test_the_same_seed_gives_the_same_hashes_again(clone, first_run):
    lock = (clone / "dvc.lock").read_text()
    learned = ("encoder", "agent@1", "relevance@1", "correctness@1", "retriever@1")
    ran = set(stages_run(command(clone, "dvc", "repro", "--force", "--single-item", *learned)))
    assert ran == set(learned)
    assert (clone / "dvc.lock").read_text() == lock


@pytest.mark.parametrize("stage", ["index-0", "agent@1"])
def test_a_killed_stage_ends_with_the_same_bytes(clone, first_run, stage):
    """The long version is tests/kill_stages.py."""
    trial = Flywheel(clone, (stage,)).trial(stage, 1, random.Random(stage))
    assert trial.identical and trial.scratch_left == 0


def test_a_full_disk_is_one_line_and_nothing_is_lost(clone, first_run):
    """A limit on the size of files stands in for the end of the disk."""
    stage = "trajectories@1"
    flywheel = Flywheel(clone, (stage,))
    flywheel.remove_outputs(stage)
    said = command(clone, "bash", "-c", f"ulimit -f 4; {flywheel.commands[stage]}", code=2)
    assert "Traceback" not in said
    assert "File too large; what is finished is kept" in said.splitlines()[-1]
    flywheel.run(stage)
    assert flywheel.digest(stage) == flywheel.digests[stage]


def test_a_changed_parameter_reruns_only_what_depends_on_it(clone, first_run):
    lock = yaml.safe_load((clone / "dvc.lock").read_text())
    compose_in(clone, "scale=smoke", "retriever.temperature=0.05")
    ran = set(stages_run(command(clone, "dvc", "repro", "retriever@1")))
    assert ran == {"retriever@1"}
    compose_in(clone, "scale=smoke", "compute.generation_batch=7")
    again = set(stages_run(command(clone, "dvc", "repro")))
    assert again == set(), "retriever@1 comes back from the cache, and `compute` reruns nothing"
    assert yaml.safe_load((clone / "dvc.lock").read_text()) == lock


def test_another_harness_asks_the_agents_again_and_trains_none(clone, first_run):
    lock = yaml.safe_load((clone / "dvc.lock").read_text())["stages"]
    compose_in(clone, "scale=smoke", "+evaluate.rollout={max_searches: 1, max_turns: 1}")
    ran = set(stages_run(command(clone, "dvc", "repro", "evaluate", "compare", "drift")))
    asked = {name for name in lock if name.startswith(("evaluate@", "compare@"))}
    assert asked <= ran <= asked | {"drift", "health@1", "health@2"}
    made = yaml.safe_load((clone / "dvc.lock").read_text())["stages"]
    for name in asked:
        (out,) = (o["md5"] for o in made[name]["outs"] if o["path"].startswith("data/predictions"))
        assert out not in [o["md5"] for o in lock[name]["outs"]], "asked otherwise"
    compose_in(clone, "scale=smoke")
    assert stages_run(command(clone, "dvc", "repro")) == [], "the cache has the run as it was"


def test_the_retrievers_go_into_another_world(clone, first_run):
    words = ("python", "-m", "stages.tools.elsewhere", "--seeds", "5", "--output", "tmp/else.csv")
    assert "less R_0: " in command(clone, *words)
    with open(clone / "tmp/else.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["world"], row["retriever"]) for row in rows] == [("5", "0")] * 3 + [("5", "2")] * 3
    assert {row["questions"] for row in rows} == {"8"}
    said = command(
        clone, "python", "-m", "stages.tools.elsewhere", "--seeds", "0", "--output", "x", code=2
    )
    assert "error: --seeds: 0 is the seed of the run's own world" in said


def test_a_third_iteration_runs_itself_alone(clone, first_run):
    compose_in(clone, "scale=smoke", '+iterations.3={previous: "2"}')
    ran = set(stages_run(command(clone, "dvc", "repro")))
    listed = set(command(clone, "dvc", "stage", "list", "--name-only").split())
    assert ran == {name for name in listed if name.endswith("@3")} | {"drift", "report"}
    assert len(ran) == 13


@pytest.mark.parametrize("number", WHOLE)
def test_a_random_combination_runs_whole(clone, first_run, number):
    """What it does not touch comes from the cache; test_compose.py has the others."""
    compose_in(clone, *draw(SEED, number), *GUARDS)
    command(clone, "dvc", "repro")
    metrics = json.loads((clone / "metrics/report.json").read_text())
    assert metrics["verdict"] and (clone / "models/retriever/1/model.safetensors").exists()
    assert stages_run(command(clone, "dvc", "repro")) == []


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_is_the_same_pipeline(clone, first_run, scale):
    compose_in(clone, f"scale={scale}")
    params = yaml.safe_load((clone / "params.yaml").read_text())
    for source in (params["corpus"]["source"], params["questions"]["source"] + "/train.jsonl"):
        if source.startswith("data/"):  # what the user brings
            (clone / source).parent.mkdir(parents=True, exist_ok=True)
            (clone / source).touch()
    with Repo(str(clone)) as repo:
        for stage in repo.index.stages:
            for dependency in stage.deps:
                if isinstance(dependency, ParamsDependency):
                    dependency.get_hash()  # raises where a parameter is missing
    listed = set(command(clone, "dvc", "stage", "list", "--name-only").split())
    iterations = len(params["iterations"])
    assert len(listed) == 9 + 11 * iterations + len(params["compare"])
    would_run = set(stages_run(command(clone, "dvc", "repro", "--dry")))
    assert would_run <= listed
    if scale not in ("smoke", "laptop"):  # a dry run changes nothing: later stages may look done
        assert {"corpus", "questions", "base", "encoder"} <= would_run
        assert scale == "real" or "index-0" in would_run  # real's block `index` is the laptop's
