"""Tracking into a real sqlite store: live curves, rebuilding, never two runs for one flywheel."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import flywheel_files
import mlflow
import pytest
from omegaconf import OmegaConf

from stages.common.trajectories import iter_predictions
from stages.params import load_params
from stages.reporting.comparisons import half_iterations
from stages.reporting.predictions import Predictions, read_all_predictions
from stages.reporting.results import read_results
from stages.tracking import __main__ as command
from stages.tracking.curves import live
from stages.tracking.rebuilding import rebuild
from stages.tracking.runs import Runs
from stages.tracking.store import connect_store, root, uri

TRACES = 3  # an iteration
HEADLINE = [f"1 mean by iteration/{name}" for name in ("EM", "searches per question")]
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """An initialised sqlite store: making its tables takes longer than the tests."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
        connect_store()
    return file


@pytest.fixture
def flywheel(tmp_path, store, monkeypatch):
    """The files of a flywheel, and a store of its own."""
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect(store)) as old, closing(sqlite3.connect("mlflow.db")) as new:
        old.backup(new)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    flywheel_files.write_flywheel(tmp_path, questions=8)
    params = OmegaConf.structured(flywheel_files.params())
    params.report.traces = TRACES
    OmegaConf.save(params, "params.yaml")
    return tmp_path


def rebuild_from(folder, traces=True):
    params = load_params()
    results = read_results(folder / "metrics", params)
    predictions = read_all_predictions(folder / "data/predictions", results)
    steps = half_iterations(results, predictions)
    given = predictions if traces else Predictions()
    rebuild(results, params, steps, given, folder / "data/corpus/passages.jsonl")


def tracked():
    """(parent run, {iteration: child run}) of the one flywheel that is tracked."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("agentic-r").experiment_id
    runs = client.search_runs([experiment])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    children = {run.data.tags["iteration"]: run for run in runs if run is not parent}
    assert len(runs) == 1 + len(children)
    assert all(c.data.tags["mlflow.parentRunId"] == parent.info.run_id for c in children.values())
    return parent, children


def history(run, name):
    points = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
    return [(point.step, point.value) for point in points]


def traces(run):
    client = mlflow.MlflowClient()
    return client.search_traces(locations=[run.info.experiment_id], run_id=run.info.run_id)


def log_curve(iteration, steps, scale=1.0):
    with live("agent", iteration) as log:
        for step in steps:
            log.log(step, {"step": step, "reward": scale * step / 10, "kl": float(f"0.0{step}")})


def test_a_rebuild_holds_the_files_figures(flywheel):
    rebuild_from(flywheel)
    parent, children = tracked()
    assert parent.info.status == "FINISHED" and set(children) == {"1", "2"}
    results = read_results(flywheel / "metrics", load_params())
    wanted = [(int(p.agent), p.sets["relations"].em) for p in results.flywheel]
    assert history(parent, "2 EM by iteration/relations") == wanted
    assert history(parent, "6 searches of other pairs/agent1_bm25 mean") == [
        (0, results.pair("1", "bm25").mean("searches"))
    ]
    assert history(children["1"], "agent/reward") == [(n, n / 10) for n in range(1, 6)]
    assert history(children["2"], "retriever/loss") == [(1, 2.5), (2, 1.5)]
    assert history(children["2"], "pairs figures/positive selection rate") == [(2, 0.5714)]
    assert history(children["2"], "health figures/values/entropy") == [(2, 0.25)]
    assert parent.data.params["pairs.threshold"] == "60"
    assert not [name for name in parent.data.params if name.startswith("compute")]
    assert "flywheel turned" in parent.data.tags["mlflow.note.content"]


def test_a_second_rebuild_adds_nothing(flywheel):
    rebuild_from(flywheel)
    before = tracked()
    rebuild_from(flywheel)
    after = tracked()
    assert before[0].info.run_id == after[0].info.run_id
    assert len(traces(after[1]["1"])) == TRACES


def test_live_curves_end_in_the_same_child_run(flywheel):
    log_curve("1", range(1, 6))
    parent, children = tracked()
    assert children["1"].info.status == "FINISHED" and parent.info.status == "RUNNING"
    log_curve("2", range(1, 6))
    rebuild_from(flywheel)
    completed, rebuilt = tracked()
    assert completed.info.run_id == parent.info.run_id
    assert rebuilt["1"].info.run_id == children["1"].info.run_id
    assert history(rebuilt["1"], "agent/reward") == [(n, n / 10) for n in range(1, 6)]
    assert history(rebuilt["1"], "retriever/loss") == [(1, 2.5), (2, 1.5)]


def test_a_killed_stage_goes_on_in_its_run_without_doubling_steps(flywheel):
    with pytest.raises(KeyboardInterrupt), live("agent", "1") as log:
        log.log(1, {"reward": 0.1})
        log.log(2, {"reward": 0.2})
        raise KeyboardInterrupt
    parent, children = tracked()
    assert (parent.info.status, children["1"].info.status) == ("FAILED", "FAILED")
    with live("agent", "1") as log:
        log.log(2, {"reward": 0.2})  # made again from the checkpoint
        log.log(3, {"reward": 0.3})
    _, children = tracked()
    assert history(children["1"], "agent/reward") == [(1, 0.1), (2, 0.2), (3, 0.3)]


KILLED = """
import os, signal, time
from stages.tracking.curves import live
with live("agent", "1") as log:
    log.log(1, {"reward": 0.1})
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
"""


def killed_stage():
    done = subprocess.run(
        [sys.executable, "-c", KILLED], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == -signal.SIGKILL
    connect_store()  # for `tracked`


@pytest.mark.parametrize("closed", ["by the command", "by another flywheel", "by the next stage"])
def test_the_runs_of_a_stage_that_was_killed_do_not_stay_running(flywheel, closed):
    killed_stage()
    parent, children = tracked()
    assert (parent.info.status, children["1"].info.status) == ("RUNNING", "RUNNING")
    if closed == "by the command":
        command.main(["--close"])
    elif closed == "by another flywheel":
        params = OmegaConf.load("params.yaml")
        params.seed = 7
        OmegaConf.save(params, "params.yaml")
        rebuild_from(flywheel)
    else:
        log_curve("2", range(1, 6))
    status = [
        mlflow.MlflowClient().get_run(r.info.run_id).info.status for r in (parent, children["1"])
    ]
    assert status == (["RUNNING", "KILLED"] if closed == "by the next stage" else ["KILLED"] * 2)
    if closed == "by the next stage":  # the flywheel goes on in this process
        rebuild_from(flywheel)
        assert tracked()[0].info.status == "FINISHED"


def test_runs_of_a_process_that_lives_are_left_alone(flywheel, monkeypatch):
    log_curve("1", range(1, 6))
    monkeypatch.setattr(
        "stages.tracking.store.connect_store", lambda: 1 / 0
    )  # needs no MLflow to see
    command.main(["--close"])
    assert tracked()[0].info.status == "RUNNING"


def test_a_copied_checkout_writes_nothing_into_the_old_one(
    flywheel, tmp_path_factory, monkeypatch, capsys
):
    rebuild_from(flywheel)
    old = sorted(flywheel.glob("mlruns/**/*"))
    copy = tmp_path_factory.mktemp("copies") / "copy of it"
    shutil.copytree(flywheel, copy)
    shutil.rmtree(copy / "mlruns", ignore_errors=True)  # absent where all spans went to the store
    monkeypatch.chdir(copy)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copy}/mlflow.db")
    capsys.readouterr()
    rebuild_from(copy)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and f"copied from {flywheel}" in said[0]
    assert sorted(flywheel.glob("mlruns/**/*")) == old
    # MLflow keeps a trace's spans in the store or in this folder, whichever comes first
    place = mlflow.MlflowClient().get_experiment_by_name("agentic-r").artifact_location
    assert place == (copy / "mlruns").as_uri()
    _, children = tracked()
    assert len(traces(children["1"])) == TRACES
    kept = mlflow.MlflowClient().get_experiment_by_name(f"agentic-r of {flywheel}")
    assert len(mlflow.MlflowClient().search_runs([kept.experiment_id])) == 3
    rebuild_from(copy)
    assert capsys.readouterr().err == ""


def test_curves_that_differ_from_the_files_are_replaced(flywheel):
    log_curve("1", range(1, 6), scale=2)
    rebuild_from(flywheel)
    _, children = tracked()
    assert history(children["1"], "agent/reward") == [(n, n / 10) for n in range(1, 6)]


def test_a_forced_second_run_replaces_the_first(flywheel):
    rebuild_from(flywheel)
    log_curve("1", range(1, 6))
    rebuild_from(flywheel)
    _, children = tracked()
    assert len(traces(children["1"])) == TRACES


def test_an_interrupted_rebuild_is_made_whole(flywheel, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr("stages.tracking.rebuilding.log_trace", lambda *a, **k: 1 / 0)
        rebuild_from(flywheel)
    assert "ZeroDivisionError" in capsys.readouterr().err
    rebuild_from(flywheel)
    parent, children = tracked()
    assert parent.info.status == "FINISHED"
    assert [step for step, _ in history(parent, HEADLINE[0])] == [0, 1, 2]
    assert len(traces(children["2"])) == TRACES


def test_from_metrics_alone_then_with_traces(flywheel):
    rebuild_from(flywheel, traces=False)
    _, children = tracked()
    assert traces(children["1"]) == []
    rebuild_from(flywheel)
    _, children = tracked()
    assert len(traces(children["1"])) == TRACES
    rebuild_from(flywheel, traces=False)
    assert len(traces(tracked()[1]["1"])) == TRACES


def test_other_figures_or_parameters_are_another_flywheel(flywheel):
    rebuild_from(flywheel)
    params = OmegaConf.load("params.yaml")
    params.seed = 7
    OmegaConf.save(params, "params.yaml")
    rebuild_from(flywheel)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("agentic-r").experiment_id
    parents = [r for r in client.search_runs([experiment]) if "iteration" not in r.data.tags]
    assert {run.data.params["seed"] for run in parents} == {"0", "7"}


def test_a_trace_has_a_retriever_span_for_each_search(flywheel):
    rebuild_from(flywheel)
    _, children = tracked()
    trace = traces(children["2"])[0]
    row = next(
        row
        for row in iter_predictions(flywheel / "data/predictions/2.jsonl")
        if row.key == (trace.info.tags["question_set"], trace.info.tags["question_id"])
    )
    assessed = {a.name: a.value for a in trace.info.assessments}
    assert assessed == {"golden_answers": flywheel_files.HOSTILE, "exact_match": bool(row.em)}
    spans = [span for span in trace.data.spans if span.span_type == "RETRIEVER"]
    assert len(spans) == row.searches
    first = spans[0].outputs[0]
    assert set(first) == {"page_content", "metadata", "id"}
    assert first["id"] == row.turns[0].passages[0].id
    assert flywheel_files.HOSTILE in first["page_content"]


def test_the_first_charts_are_em_and_searches_by_iteration(flywheel):
    rebuild_from(flywheel)
    parent, children = tracked()
    pairs = read_results(flywheel / "metrics", load_params()).flywheel
    for name, key in zip(HEADLINE, ("em", "searches"), strict=True):
        assert history(parent, name) == [(int(pair.agent), pair.mean(key)) for pair in pairs]
    for run in (parent, *children.values()):
        names = sorted(run.data.metrics)  # as MLflow's page puts its sections
        assert names[:2] == HEADLINE
        # MLflow has a section for names without a slash, whether there are any or not
        assert run.data.metrics["test questions"] == 16


def test_no_trace_claims_a_time_that_nobody_measured(flywheel):
    rebuild_from(flywheel)
    _, children = tracked()
    for trace in traces(children["1"]) + traces(children["2"]):
        assert trace.info.execution_duration is None
        times = [(span.start_time_ns, span.end_time_ns) for span in trace.data.spans]
        assert all(start == end for start, end in times)
        starts = [start for start, _ in times]
        assert starts == sorted(set(starts)), "the order of the turns is kept"
        assert starts[-1] - starts[0] < 1000, "less than any page shows"


def test_a_run_of_an_older_layout_is_made_anew(flywheel):
    command.main([])
    old, _ = tracked()
    client = mlflow.MlflowClient()
    client.delete_tag(old.info.run_id, "flywheel_layout")
    command.main([])
    new, children = tracked()
    assert new.info.run_id != old.info.run_id and len(traces(children["1"])) == TRACES


def test_the_command_knows_what_is_tracked_without_mlflow(flywheel, monkeypatch):
    command.main([])
    parent, _ = tracked()
    monkeypatch.setattr("stages.tracking.store.connect_store", lambda: 1 / 0)
    command.main([])
    assert tracked()[0].info.run_id == parent.info.run_id


def test_the_command_completes_a_stage_that_was_forced_again(flywheel):
    command.main([])
    first, _ = tracked()
    log_curve("1", range(1, 6))  # and DVC then finds that nothing after the stage has changed
    command.main([])
    parent, children = tracked()
    assert parent.info.run_id != first.info.run_id and set(children) == {"1", "2"}
    assert parent.info.status == "FINISHED"


def test_a_store_that_cannot_be_reached_is_one_line(flywheel, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://user:hunter2@nowhere/db")
    with live("agent", "1") as log:
        log.log(1, {"reward": 0.5})
        done = True
    rebuild_from(flywheel)
    said = capsys.readouterr().err.strip().splitlines()
    assert done and len(said) == 2 and all("the stage goes on" in line for line in said)
    assert "hunter2" not in " ".join(said)


def test_an_experiment_in_a_temporary_copy_tracks_into_the_checkout(tmp_path, monkeypatch):
    copy = tmp_path / ".dvc/tmp/exps/standalone/tmpabc"
    copy.mkdir(parents=True)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(copy)
    assert root() == tmp_path and uri() == f"sqlite:///{tmp_path}/mlflow.db"


def test_deleting_a_run_deletes_its_traces(flywheel):
    rebuild_from(flywheel)
    parent, children = tracked()
    runs = Runs(*connect_store())
    runs.delete(parent.info.run_id)
    assert traces(children["1"]) == [] and traces(children["2"]) == []
