"""One question, asked as a user would."""

from pathlib import Path

import pytest
from label_world import build

from stages import ask
from stages.errors import InputError

PLACES = ["--agent", "agent", "--retriever", "retriever", "--index", "index"]
CORPUS = ["--passages", "passages.jsonl"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    path = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        build(path)
    return path


def test_the_trajectory_is_printed_as_it_happens(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    ask.main(["which color has the fern", *PLACES, *CORPUS])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "thinks    look" and lines[1].startswith("searches  fern")
    assert "is about a" in lines[2] and float(lines[2].split()[0]) <= 1
    assert lines[-2].startswith(("answer", "no answer")) and lines[-1].endswith("searches")


def test_two_retrievers_stand_side_by_side(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    compared = ["--compare", "retriever", "retriever", "--agent", "agent", "--index", "index"]
    ask.main(["which color has the fern", *compared, *CORPUS])
    printed = capsys.readouterr().out
    both = [line.split("│")[1:3] for line in printed.splitlines() if "searches  fern" in line]
    assert both and all(left == right for left, right in both)


def test_a_retriever_without_an_index_gets_one(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    words = ["which color has the fern", "--agent", "agent", *CORPUS, "--retriever", "retriever"]
    ask.main([*words, "--index", "index"])
    given = capsys.readouterr().out
    ask.main(words)
    assert capsys.readouterr().out == given
    [made] = world.glob("tmp/ask/index-*/index.json")
    before = made.stat().st_mtime_ns
    ask.main(words)
    assert capsys.readouterr().out == given and made.stat().st_mtime_ns == before


def test_a_hub_model_is_asked_with_the_prompts_it_brings(world, monkeypatch):
    """A local folder stands in for the hub: only the download differs."""
    monkeypatch.chdir(world)
    from stages import models
    from stages.retrieval.folder import read_asking

    source = world / "retriever"
    monkeypatch.setattr(models, "_download", lambda name, revision: str(source))
    folder = ask._place("models/retriever", "some/encoder")
    assert folder == Path("tmp/ask/some--encoder")
    assert read_asking(folder).input == "query"
    assert models.read_json(folder / "reference.json")["model"] == "some/encoder"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([" ", *PLACES], "the question is empty"),
        (["q", "--agent", "9"], "9: neither models/agent/9 nor a folder"),
        (["q", "--agent", "agent", "--retriever", "9"], "9: neither models/retriever/9 nor a"),
        (["q", "--agent", "agent", "--retriever", "bm25"], "data/index/bm25: not there"),
    ],
)
def test_what_is_not_there_is_one_line(world, monkeypatch, words, message):
    monkeypatch.chdir(world)
    with pytest.raises(InputError, match=message):
        ask.main([*words, *CORPUS])
