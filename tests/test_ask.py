"""One question, asked as a user would."""

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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([" ", *PLACES], "the question is empty"),
        (["q", "--agent", "9"], "9: neither models/agent/9 nor a folder"),
        (["q", "--agent", "agent", "--retriever", "9"], "neither data/index/9"),
        (["q", "--agent", "agent", "--retriever", "retriever"], "needs --index"),
    ],
)
def test_what_is_not_there_is_one_line(world, monkeypatch, words, message):
    monkeypatch.chdir(world)
    with pytest.raises(InputError, match=message):
        ask.main([*words, *CORPUS])
