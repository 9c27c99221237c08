"""Figures of another run beside those of this one: refused or marked, whatever gives them away."""

import json
import shutil
from pathlib import Path

import flywheel_files
import pytest
import yaml
from omegaconf import OmegaConf
from rows import set_metrics

from stages import report
from stages.common.records import read_json, read_jsonl, write_json, write_jsonl
from stages.common.trajectories import trajectory_of
from stages.metrics.lock import Lock
from stages.params import load_params
from stages.plumbing.errors import InputError
from stages.provenance.hashes import hash_of
from stages.reporting.results import read_results
from stages.tools import summary

ROOT = Path(__file__).parents[1]
ARGUMENTS = (
    "--metrics-folder metrics --predictions data/predictions --labels data "
    "--questions data/questions/test --passages data/corpus/passages.jsonl "
    "--output data/report --metrics metrics/report.json --plots metrics/report.csv "
    "--curves metrics/curves.csv"
)
OWN = [f"metrics/{s}/{t}.json" for s in ("evaluate", "pairs", "retriever", "agent") for t in "12"]


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """The figures, the parameters and the lock of this repo."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "metrics", "metrics")
    for name in ("dvc.lock", "params.yaml"):
        shutil.copy(ROOT / name, name)
    return tmp_path


@pytest.fixture
def flywheel(tmp_path, monkeypatch):
    """A run without a lock, with its predictions, labels and question sets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stages.tracking.rebuilding.rebuild", lambda *given: None)
    flywheel_files.write_flywheel(tmp_path)
    OmegaConf.save(OmegaConf.structured(flywheel_files.params()), "params.yaml")
    return tmp_path


def refused(said: str, file: str = "metrics/") -> None:
    with pytest.raises(InputError, match=said) as error:
        report.main(ARGUMENTS.split())
    assert str(error.value).startswith(file) and "\n" not in str(error.value)
    assert not Path("data/report/index.html").exists()


def change_lock(change) -> None:
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    change(lock["stages"])
    Path("dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))


def test_what_the_lock_says_of_the_recorded_run(recorded):
    lock = Lock.read()
    assert [lock.reason(path) for path in OWN] == [None] * len(OWN)
    assert read_results(Path("metrics"), load_params()).pairs
    assert lock.reason("metrics/evaluate/nobody.json") == "no stage in dvc.lock made it"
    assert lock.reason(Path("metrics/base.json").absolute()) is None


def test_a_file_that_was_edited_is_not_of_the_run(recorded):
    row = read_json("metrics/evaluate/2.json")
    row["sets"]["indomain"]["em_low"] = 0.5  # which nothing but the hash tells
    write_json("metrics/evaluate/2.json", row)
    with pytest.raises(InputError, match=r"2\.json: not of this run: .* not the file that evaluat"):
        read_results(Path("metrics"), load_params())


@pytest.mark.parametrize(
    ("override", "stage", "free"),
    [
        (("seed", 7), "ran with another 'seed'", []),
        (("retriever", "steps", 9), "retriever@2 ran with another 'retriever'", ["pairs/1"]),
        (("compute", "threads", 9), None, []),
        (("relevance", "mode", "off"), "ran with another 'relevance'", ["agent/1"]),
    ],
)
def test_figures_of_other_parameters_are_not_of_the_run(recorded, override, stage, free):
    params = yaml.safe_load(Path("params.yaml").read_text())
    *path, name, value = override
    block = params
    for key in path:
        block = block[key]
    block[name] = value
    Path("params.yaml").write_text(yaml.safe_dump(params))
    reason = Lock.read().reason("metrics/evaluate/2.json")
    assert (reason is None) == (stage is None)
    if stage:
        assert stage in reason
        with pytest.raises(InputError, match="not of this run"):
            read_results(Path("metrics"), load_params())
    for file in free:  # made before what changed
        assert Lock.read().reason(f"metrics/{file}.json") is None


def test_parameters_are_the_same_in_either_version_of_yaml(recorded):
    """DVC writes `off` and 2e-05 bare; a reader of YAML 1.1 takes the one for false, the other for
    a text."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["relevance"]["mode"], params["retriever"]["learning_rate"] = "off", 2e-05
    Path("params.yaml").write_text(yaml.safe_dump(params))

    def as_dvc(stages):
        for iteration in "12":
            stages[f"relevance@{iteration}"]["params"]["params.yaml"]["relevance"]["mode"] = "OFF@"
            ran = stages[f"retriever@{iteration}"]["params"]["params.yaml"]["retriever"]
            ran["learning_rate"] = "RATE@"

    change_lock(as_dvc)
    text = Path("dvc.lock").read_text().replace("OFF@", "off").replace("RATE@", "2e-05")
    Path("dvc.lock").write_text(text)
    assert Lock.read().reason("metrics/evaluate/2.json") is None


def test_what_came_of_other_inputs_is_not_of_the_run(recorded):
    def own_pairs(stages):  # `dvc repro -s retriever@1` over pairs of somebody's own
        (pairs,) = [d for d in stages["retriever@1"]["deps"] if d["path"] == "data/pairs/1.jsonl"]
        pairs["md5"] = "0" * 32

    change_lock(own_pairs)
    reason = Lock.read().reason("metrics/retriever/1.json")
    assert reason == "retriever@1 read another data/pairs/1.jsonl than pairs@1 has made"
    assert Lock.read().reason("metrics/evaluate/1.json") == reason  # and all that came of it
    assert Lock.read().reason("metrics/pairs/1.json") is None


def test_other_questions_are_told_by_their_hash(recorded):
    write_jsonl("data/questions/test/indomain.jsonl", [{"id": "1"}])
    reason = Lock.read().reason("metrics/evaluate/1.json")
    assert reason == "evaluate@1 asked other questions than those in data/questions/test"

    def asked(stages):
        for stage in stages.values():
            for dependency in stage["deps"]:
                if dependency["path"] == "data/questions/test":
                    dependency["md5"] = hash_of(Path("data/questions/test"))

    change_lock(asked)
    assert Lock.read().reason("metrics/evaluate/1.json") is None


@pytest.mark.parametrize("text", ["", "stages: 3", "stages: {a: {outs: [1]}}", "a: [", "[" * 5000])
def test_a_broken_lock_is_one_line(recorded, text):
    Path("dvc.lock").write_text(text)
    with pytest.raises(InputError, match=r"^dvc\.lock") as error:
        read_results(Path("metrics"), load_params())
    assert "\n" not in str(error.value)


def test_metrics_of_one_run_beside_predictions_of_another(flywheel):
    """As after a checkout of dvc.lock and metrics, which leaves the predictions."""
    for pair in ("1", "base"):
        rows = read_jsonl(f"data/predictions/{pair}.jsonl")
        for row in rows[:3]:
            row["em"], row["answer"] = 1 - row["em"], None
        write_jsonl(f"data/predictions/{pair}.jsonl", rows)
    refused("'em' of indomain is .*, and .* by data/predictions/base.jsonl", "metrics/evaluate/bas")


@pytest.mark.parametrize(
    ("key", "value"), [("em_low", 0.0), ("searches_high", 9.0), ("found", None)]
)
def test_every_figure_is_made_again_from_the_predictions(flywheel, key, value):
    row = read_json("metrics/evaluate/2.json")
    row["sets"]["relations"][key] = value
    write_json("metrics/evaluate/2.json", row)
    refused(f"'{key}' of relations is .*, and .* by data/predictions/2.jsonl", "metrics/evaluate/2")


def test_predictions_of_other_questions_are_refused(flywheel):
    rows = read_jsonl("data/questions/test/indomain.jsonl")
    rows[0]["id"] = "another"
    write_jsonl("data/questions/test/indomain.jsonl", rows)
    refused("has other questions than the question sets")


def test_figures_of_fewer_questions_are_refused(flywheel):
    rows = read_jsonl("data/predictions/2.jsonl")
    write_jsonl("data/predictions/2.jsonl", rows[:-1])
    refused(r"it has 2 question sets \(indomain 40, relations 40\), and .* relations 39\)")


def test_a_question_that_was_answered_twice_is_refused(flywheel):
    rows = read_jsonl("data/predictions/2.jsonl")
    write_jsonl("data/predictions/2.jsonl", [*rows[:-1], rows[0]])
    refused("the id 'indomain/0' occurs twice", "data/predictions/2.jsonl")


@pytest.mark.parametrize(
    ("key", "value"), [("em", 2), ("em", None), ("em", True), ("searches", -1), ("f1", "1")]
)
def test_an_outcome_that_is_none_is_refused(flywheel, key, value):
    rows = read_jsonl("data/predictions/2.jsonl")
    rows[3][key] = value
    write_jsonl("data/predictions/2.jsonl", rows)
    refused(f":4: '{key}' must be", "data/predictions/2.jsonl")


def test_labels_of_another_iteration_are_refused(flywheel):
    for stage in flywheel_files.LABEL_FILES:
        rows = read_jsonl(f"data/{stage}/1.jsonl")
        write_jsonl(f"data/{stage}/1.jsonl", rows[1:])
    refused("'in' is 7, and 6 by the labels of iteration 1", "metrics/pairs/1.json")


def test_drift_of_other_predictions_is_refused(flywheel):
    none = dict.fromkeys(("words_per_query", "overlap_with_question", "distance_to_question"))
    none |= dict.fromkeys(
        f"{k}_previous_iteration" for k in ("equal_to", "overlap_with", "distance_to")
    )
    empty = {"queries": 0, "questions": 0, "queries_of_both_iterations": 0} | none
    write_json("metrics/drift.json", {"0": empty, "1": empty})
    refused("it has the iterations 0, 1, and the run 0, 1, 2", "metrics/drift.json")
    write_json("metrics/drift.json", {"0": empty, "1": empty, "2": empty})
    refused(
        "'queries' of iteration 0 is 0, and .* by the predictions of base", "metrics/drift.json"
    )


def own_questions(name: str, iteration: str | None = None) -> None:
    """As after a run on sets of one's own: of all pairs, or of one iteration's alone."""
    for file in Path("data/questions/test").glob("*.jsonl"):
        file.unlink()
    count = 5
    questions = flywheel_files._questions(count)
    flywheel_files.write_questions(f"data/questions/test/{name}.jsonl", questions)
    rows = [flywheel_files._prediction(name, number, 0.5) for number in range(count)]
    rows = [row | {"set": name} for row in rows]
    write_jsonl(f"data/predictions/{iteration}.jsonl", rows)
    told = set_metrics([trajectory_of(row, "a test") for row in rows])
    write_json(
        f"metrics/evaluate/{iteration}.json",
        {"agent": iteration, "retriever": iteration, "sets": {name: told}},
    )


def test_the_summary_of_own_questions_shows_them_and_marks_the_rest(flywheel, capsys):
    made = read_json("metrics/evaluate/2.json")["sets"]
    own_questions("mine", "1")
    summary.main([])
    said = capsys.readouterr().out
    metrics = read_json("metrics/evaluate/1.json")["sets"]["mine"]
    (title,) = [line for line in said.splitlines() if "mean" in line]
    assert "mine" in title and "indomain" not in title and "relations" not in title
    row = next(line for line in said.splitlines() if "Agent_1 + R_1" in line)
    assert f"{100 * metrics['em']:.1f}  {metrics['searches']:.2f}" in row
    for label in ("base agent + R_0", "Agent_2 + R_2"):
        row = next(line for line in said.splitlines() if label in line)
        assert row.count("not of this run") == 2 and "." not in row.replace(label, "")
    assert f"{100 * made['relations']['em']:.1f}  " not in said
    assert "evaluate/2.json is not of this run: it has 2 question sets" in said
    refused("it has 1 question set|it has 2 question sets")


def test_a_summary_of_nothing_is_refused(flywheel):
    shutil.rmtree("data/questions/test")
    flywheel_files.write_questions("data/questions/test/x.jsonl", flywheel_files._questions(3))
    with pytest.raises(InputError, match="no figure is of this run"):
        summary.main([])


def test_an_iteration_that_was_not_evaluated_is_said(flywheel, capsys):
    Path("metrics/evaluate/2.json").unlink()
    summary.main([])
    said = capsys.readouterr().out
    assert "Agent_2 + R_2: metrics/evaluate/2.json is not there" in said
    assert json.dumps(read_json("metrics/evaluate/1.json"))  # the others are shown
    assert "Agent_1 + R_1" in said
