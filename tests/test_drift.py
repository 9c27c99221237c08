"""Query drift on hand-made predictions and a real encoder."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from retrieval_world import tiny_retriever
from rows import trajectory_row

from stages import drift
from stages.common.records import read_json, write_jsonl
from stages.drift import asked_in, describe, overlap
from stages.plumbing.errors import InputError
from stages.reporting.drift import METRICS

PARAMS = {
    "iterations": {"1": {"previous": "0"}},
    "compute": {"threads": 1},
    "compare": {"base": {"agent": "0", "retriever": "0"}, "x": {"agent": "1", "retriever": "0"}},
}


def row(number: int, *queries: str | None) -> dict:
    turns = [{"query": query} for query in queries]
    return trajectory_row(f"q{number}", *turns, set="s", question="Who made the fern?")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    write_jsonl("data/base.jsonl", [row(0, "the fern", "moss"), row(1, "rose", None, "vine")])
    write_jsonl("data/1.jsonl", [row(0, "who made the fern"), row(1, "rose", "vine", "moss")])
    tiny_retriever(tmp_path / "r0")
    return tmp_path


def test_every_iteration_is_measured(place):
    words = "--predictions data --retriever r0 --metrics metrics/drift.json"
    torch.set_num_threads(2)
    drift.main(words.split())
    assert torch.get_num_threads() == 1  # compute.threads
    metrics = read_json("metrics/drift.json")
    assert list(metrics) == ["0", "1"]
    assert set(METRICS) == set(metrics["1"])  # the page names each, and no other
    first, second = metrics["0"], metrics["1"]
    assert (first["queries"], first["questions"], first["words_per_query"]) == (4, 2, 1.25)
    assert first["queries_of_both_iterations"] == 0
    assert first["distance_to_previous_iteration"] is None
    assert (second["queries"], second["queries_of_both_iterations"]) == (4, 3)
    assert second["equal_to_previous_iteration"] == pytest.approx(2 / 3, abs=1e-4)
    assert 0 < second["distance_to_previous_iteration"] < 2
    (place / "again").mkdir()
    drift.main([*words.split()[:-1], "again/drift.json"])
    assert (place / "again/drift.json").read_bytes() == (place / "metrics/drift.json").read_bytes()


def test_equal_queries_have_not_moved():
    asked = {("s", "q", 0): ("Who made the fern?", "fern")}
    vectors = {"fern": np.ones(1), "Who made the fern?": np.ones(1)}
    metrics = describe(asked, asked, vectors)
    assert metrics["distance_to_previous_iteration"] == 0
    assert metrics["equal_to_previous_iteration"] == 1
    assert describe({}, {}, {})["words_per_query"] is None


def test_overlap_counts_words_of_the_query():
    assert overlap("Fern, made", "Who made the fern?") == 1
    assert overlap("fern moss", "Who made the fern?") == 0.5
    assert overlap("the", "anything") == 0


def test_a_missing_prediction_file_is_named(place):
    with pytest.raises(InputError, match=r"none\.jsonl: cannot be read"):
        asked_in(place / "none.jsonl")


@pytest.mark.parametrize("stage", ["drift", "report"])
def test_a_change_of_scoring_measures_again(stage):
    pipeline = yaml.safe_load((Path(__file__).parents[1] / "dvc.yaml").read_text())
    assert "stages/scoring" in pipeline["stages"][stage]["deps"]
