"""Recall of first queries, through a BM25 index of a small corpus."""

import shutil
from pathlib import Path

import pytest
import retrieval_world as world

from stages import index
from stages.common.records import read_json, write_jsonl
from stages.tools import first_query


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A corpus, its BM25 index, and predictions: one question searched twice, one never."""
    passages = world.write_corpus(tmp_path / "passages.jsonl", world.corpus())
    shutil.copy(Path(__file__).parents[1] / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    paths = ["--passages", str(passages), "--bm25", "--output", "bm25", "--metrics", "m.json"]
    index.main(paths)
    turns = [{"query": query} for query in ("N0man", "N1man", None)]
    asked = {"id": "a", "question": "N5man", "turns": turns}
    other = {"id": "b", "question": "N1man", "turns": [{"query": None}], "supporting_ids": [["p0"]]}
    support = [[f"p{n}" for n in range(8)], [f"p{n}" for n in range(40, 48)]]  # of N0man, of N5man
    write_jsonl("predictions.jsonl", [asked | {"supporting_ids": support}, other])
    return tmp_path


def test_a_question_read_beside_the_query_finds_what_it_names(place):
    options = ["--predictions", "predictions.jsonl", "--passages", "passages.jsonl"]
    first_query.main([*options, "--index", "bm25", "--output", "out.json"])
    found = read_json("out.json")
    assert (found["questions"], found["queries"]) == (2, 1)
    assert found["query"]["20"] == pytest.approx(1 / 3)  # the second query would find no more
    assert found["question_query"]["20"] == pytest.approx(2 / 3)
