"""The tidy table of a run, from metrics and predictions of known content."""

import csv
import json

import pytest
from rows import trajectory_row

from stages.common.records import write_json, write_jsonl
from stages.params import Params
from stages.plumbing.errors import InputError
from stages.tools import collect


def prediction(identifier, *queries):
    turns = [{"query": query} for query in (*queries, None)]
    return trajectory_row(identifier, *turns, set="hotpotqa", answer="a", em=1, f1=1.0)


def evaluated(queries):
    """Figures of two questions that were answered right after `queries` searches each."""
    metrics = {"questions": 2}
    for key, value in (("em", 1.0), ("f1", 1.0), ("searches", queries)):
        metrics |= {key: value, f"{key}_low": value, f"{key}_high": value}
    recall = {"recall": {"3": None, "20": None}, "first_query_recall": {"3": 1 / 3, "20": None}}
    return metrics | {"unanswered": 0.0} | recall | {"found": None}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run with figures of one stage and two pairs of Agent_1."""
    write_json(
        tmp_path / "metrics/pairs/1.json",
        {"in": 8, "out": 2, "dropped": {"few_negatives": 6}, "instances": 2, "loss": None}
        | {"positive_selection_rate": 0.25},
    )
    for name, retriever, queries in (("1", "1", 1.5), ("agent1_bm25", "bm25", 1.5)):
        pair = {"agent": "1", "retriever": retriever, "sets": {"hotpotqa": evaluated(queries)}}
        write_json(tmp_path / f"metrics/evaluate/{name}.json", pair)
    same = prediction("a", "where was X born", "X")
    write_jsonl(tmp_path / "predictions/1.jsonl", [same, prediction("b", "Y")])
    write_jsonl(tmp_path / "predictions/agent1_bm25.jsonl", [same, prediction("b", "Z")])
    write_json(tmp_path / "metrics/pairs/2.json", {"in": 1})  # of another run
    params = {
        "iterations": {"1": {"previous": "0"}},
        "compare": {"agent1_bm25": {"agent": "1", "retriever": "bm25"}},
    }
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_number_is_a_row(run):
    output = run / "real.csv"
    options = ["--metrics", str(run / "metrics"), "--predictions", str(run / "predictions")]
    collect.main([str(output), *options])
    with open(output, newline="") as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    assert rows[:5] == [
        ("pairs", "1", "", "", "", "in", "8"),
        ("pairs", "1", "", "", "", "out", "2"),
        ("pairs", "1", "", "", "", "dropped.few_negatives", "6"),
        ("pairs", "1", "", "", "", "instances", "2"),
        ("pairs", "1", "", "", "", "positive_selection_rate", "0.25"),
    ]
    own = [row for row in rows if row[1] == "1" and row[0] == "evaluate"]
    other = [row for row in rows if row[1] == "agent1_bm25"]
    assert len(rows) == 5 + len(own) + len(other)
    assert own[0] == ("evaluate", "1", "1", "1", "hotpotqa", "questions", "2")
    recall = ("evaluate", "1", "1", "1", "hotpotqa", "first_query_recall.3", "0.333333")
    shared = ("evaluate", "1", "1", "1", "hotpotqa", "first_queries_shared", "1.0")
    assert own[-2:] == [recall, shared]
    assert other[-1] == (*("evaluate", "agent1_bm25", "1", "bm25", "hotpotqa"), *shared[5:6], "0.5")


def test_figures_that_are_not_of_the_predictions_are_left_out_and_said(run, capsys):
    pair = json.loads((run / "metrics/evaluate/1.json").read_text())
    pair["sets"]["hotpotqa"] |= {"searches": 1.25}
    write_json(run / "metrics/evaluate/1.json", pair)
    collect.main([str(run / "real.csv"), "--predictions", "predictions"])
    with open(run / "real.csv", newline="") as file:
        names = {(row["stage"], row["name"]) for row in csv.DictReader(file)}
    assert names == {("pairs", "1"), ("evaluate", "agent1_bm25")}
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and "left out: metrics/evaluate/1.json: not of this run: " in said[0]


def test_a_folder_without_figures_is_named(tmp_path):
    with pytest.raises(InputError, match="no figures"):
        list(collect.metric_rows(tmp_path / "nothing", tmp_path, Params()))
