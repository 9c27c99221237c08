"""A run's agent and retrievers in other worlds: tiny real models of random weights."""

import csv
from pathlib import Path

import pytest
from retrieval_world import tiny_retriever

from stages.common.models import write_reference
from stages.common.records import write_json
from stages.composing.compose import compose
from stages.encoders.folder import write_format
from stages.encoders.query_format import QueryFormat
from stages.language.tokenizer import make_tokenizer, world_texts
from stages.plumbing.errors import InputError
from stages.tools import elsewhere

ROOT = Path(__file__).parents[1]
ONE_ITERATION = ("~iterations.2", "~compare.agent2_r1", "~compare.scripted_r2")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of one iteration: the scripted agent, R_0 a reference to a folder beside it, R_1."""
    monkeypatch.chdir(ROOT)
    compose(tmp_path / "params.yaml", ["scale=smoke", "questions.test=3", *ONE_ITERATION])
    monkeypatch.chdir(tmp_path)
    make_tokenizer(world_texts()).save_pretrained("tokenizer")
    write_json("models/agent/1/scripted.json", {"tokenizer": str(tmp_path / "tokenizer")})
    tiny_retriever(tmp_path / "mine")
    write_reference("models/retriever/0", "mine", None)
    write_format("models/retriever/0", QueryFormat())
    tiny_retriever(tmp_path / "models/retriever/1", QueryFormat("question_query"))
    return tmp_path


def go(*seeds: int) -> bytes:
    elsewhere.main(["--seeds", *map(str, seeds), "--output", "table.csv"])
    return Path("table.csv").read_bytes()


def test_a_run_that_was_killed_goes_on_with_the_same_bytes(run, monkeypatch, capsys):
    world = elsewhere._world
    whole, said = go(5, 6), capsys.readouterr().out
    with open("table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    keys = [(row["world"], row["retriever"]) for row in rows[::3]]
    assert keys == [("5", "0"), ("5", "1"), ("6", "0"), ("6", "1")]
    assert "R_1 less R_0: " in said and "in 2 worlds" in said
    asked = []

    def killed_in_6(seed, *rest):
        asked.append(seed)
        if asked == [5, 6]:
            raise KeyboardInterrupt
        return world(seed, *rest)

    monkeypatch.setattr(elsewhere, "_world", killed_in_6)
    with pytest.raises(KeyboardInterrupt):
        go(5, 6)
    assert go(5, 6) == whole and capsys.readouterr().out == said
    assert asked == [5, 6, 6], "world 5 was kept"


def test_what_cannot_go_elsewhere_is_told(run):
    for seeds, message in (((0,), "0 is the seed of the run's own world"), ((5, 5), "named twice")):
        with pytest.raises(InputError, match=f"--seeds: .*{message}"):
            go(*seeds)
    (run / "models/agent/1/scripted.json").unlink()
    (run / "models/agent/1").rmdir()
    with pytest.raises(InputError, match="models/agent/1: not there; has the run ended"):
        go(5)
