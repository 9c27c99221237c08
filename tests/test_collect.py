"""The tidy table of a run, from metrics and predictions of known content."""

import csv
import json

import pytest

from stages.common.records import write_json, write_jsonl
from stages.params import Params
from stages.plumbing.errors import InputError
from stages.tools import collect


def prediction(identifier, *queries):
    turns = [{"query": query} for query in queries]
    return {"id": identifier, "set": "hotpotqa", "turns": [*turns, {"query": None}]}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run with figures of one stage and two pairs of Agent_1."""
    write_json(
        tmp_path / "metrics/pairs/1.json",
        {"in": 9, "dropped": {"few_negatives": 2}, "positive_selection_rate": 0.25, "loss": None},
    )
    for name, retriever in (("1", "1"), ("agent1_bm25", "bm25")):
        figures = {"questions": 2, "first_query_recall": {"3": 1 / 3, "20": None}}
        pair = {"agent": "1", "retriever": retriever, "sets": {"hotpotqa": figures}}
        write_json(tmp_path / f"metrics/evaluate/{name}.json", pair)
    same = prediction("a", "where was X born", "X")
    write_jsonl(tmp_path / "predictions/1.jsonl", [same, prediction("b", "Y")])
    write_jsonl(tmp_path / "predictions/agent1_bm25.jsonl", [same, prediction("b", "Z")])
    write_json(tmp_path / "metrics/pairs/2.json", {"in": 1})  # of another run
    params = {
        "iterations": {"1": {}},
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
    assert rows == [
        ("pairs", "1", "", "", "", "in", "9"),
        ("pairs", "1", "", "", "", "dropped.few_negatives", "2"),
        ("pairs", "1", "", "", "", "positive_selection_rate", "0.25"),
        ("evaluate", "1", "1", "1", "hotpotqa", "questions", "2"),
        ("evaluate", "1", "1", "1", "hotpotqa", "first_query_recall.3", "0.333333"),
        ("evaluate", "1", "1", "1", "hotpotqa", "first_queries_shared", "1.0"),
        ("evaluate", "agent1_bm25", "1", "bm25", "hotpotqa", "questions", "2"),
        ("evaluate", "agent1_bm25", "1", "bm25", "hotpotqa", "first_query_recall.3", "0.333333"),
        ("evaluate", "agent1_bm25", "1", "bm25", "hotpotqa", "first_queries_shared", "0.5"),
    ]


def test_a_folder_without_figures_is_named(tmp_path):
    with pytest.raises(InputError, match="no figures"):
        list(collect.rows(tmp_path / "nothing", tmp_path, Params()))
