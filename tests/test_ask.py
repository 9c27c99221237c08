"""One question, asked as a user would."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from label_world import NOTES, build
from retrieval_world import vocabulary

from stages.common.records import write_passages
from stages.contrastive.fresh import fresh_encoder
from stages.encoders import folder
from stages.plumbing.errors import InputError
from stages.tools import ask

PLACES = ["--agent", "agent", "--retriever", "retriever", "--index", "index"]
CORPUS = ["--passages", "passages.jsonl"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    path = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        build(path)
    return path


@pytest.fixture(scope="module")
def other(world) -> str:
    """A retriever beside the world's own, of other weights."""
    tokens = vocabulary([note.contents for note in NOTES])
    encoder = fresh_encoder(tokens, layers=1, width=32, heads=2, max_length=32, seed=1)
    folder.save(encoder, world / "other", folder.Asking())
    return "other"


def test_the_trajectory_is_printed_as_it_happens(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    ask.main(["which color has the fern", *PLACES, *CORPUS])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "thinks    look" and lines[1].startswith("searches  fern")
    assert "is about a" in lines[2] and float(lines[2].split()[0]) <= 1
    assert lines[-2].startswith(("answer", "no answer")) and lines[-1].endswith("searches")


def test_two_retrievers_stand_side_by_side(world, other, monkeypatch, capsys):
    monkeypatch.chdir(world)
    monkeypatch.setenv("COLUMNS", "300")
    words = ["which color has the fern", "--agent", "agent", *CORPUS]
    alone = []
    for retriever in ("retriever", other):
        ask.main([*words, "--retriever", retriever])
        alone.append(capsys.readouterr().out.splitlines())
    assert alone[0] != alone[1]
    ask.main([*words, "--compare", "retriever", other])
    rows = [line.split("│")[1:3] for line in capsys.readouterr().out.splitlines() if "│" in line]
    for side, lines in enumerate(alone):
        column = [row[side].strip() for row in rows]
        assert [text for text in column if text] == [line.strip() for line in lines]


def test_a_folder_given_by_its_whole_path_is_no_index(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    words = ["which color has the fern", *PLACES[:2], *CORPUS, "--retriever"]
    ask.main([*words, "retriever"])
    given = capsys.readouterr().out
    ask.main([*words, str(world / "retriever")])
    assert capsys.readouterr().out == given


def test_nothing_that_is_said_reaches_the_terminal_as_a_command(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    passages = [replace(note, text=f"\x1b[2J\x9b1m\r[b]{note.text}\tI") for note in NOTES]
    write_passages("hostile.jsonl", passages)
    words = ["which color has the fern", *PLACES[:4], "--passages", "hostile.jsonl"]
    ask.main(words)
    printed = capsys.readouterr().out
    assert "\ufffd[2J\ufffd1m\ufffd[b]N" in printed
    assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in set(printed) - set("\n\t"))


def test_a_retriever_without_an_index_gets_one(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    shutil.rmtree("tmp/ask", ignore_errors=True)
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
    from stages.common import models
    from stages.encoders.folder import read_asking

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
        (["q", "--compare", "0", "1", "--index", "index"], "--compare names both retrievers"),
        (["q", "--agent", "9"], "9: neither models/agent/9 nor a folder"),
        (["q", "--agent", "agent", "--retriever", "9"], "9: neither models/retriever/9 nor a"),
        (["q", "--agent", "agent", "--retriever", "bm25"], "data/index/bm25: not there"),
    ],
)
def test_what_is_not_there_is_one_line(world, monkeypatch, words, message):
    monkeypatch.chdir(world)
    with pytest.raises(InputError, match=message):
        ask.main([*words, *CORPUS])
