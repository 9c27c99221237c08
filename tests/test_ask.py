"""One question, asked as a user would."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from label_world import NOTES, build
from retrieval_world import vocabulary

from stages import index
from stages.common.records import Question, write_passages, write_questions
from stages.contrastive.fresh import fresh_encoder
from stages.encoders import folder
from stages.params import Protocol, load_params
from stages.plumbing.errors import InputError
from stages.tools import ask
from stages.world.questions import questions_for_tests
from stages.world.world import SyntheticWorld

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
    folder.save_retriever(encoder, world / "other", folder.QueryFormat())
    return "other"


def test_the_trajectory_is_printed_as_it_happens(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    ask.main(["which color has the fern", *PLACES, *CORPUS])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "thinks    look" and lines[1].startswith("searches  fern")
    assert "is about a" in lines[2] and float(lines[2].split()[0]) <= 1
    assert lines[-2].startswith(("answer", "no answer"))
    count = sum(line.startswith("searches  ") for line in lines)
    assert lines[-1] == ("1 search" if count == 1 else f"{count} searches")


@pytest.mark.parametrize(
    ("thought", "shown"),
    [
        ("the fern is green <answer>", "the fern is green"),
        ("a </think> b <search>", "a  b"),
        ("the fern <answer", "the fern"),
        ("<answer>", ""),
        ("a < b and <b>c</b>", "a < b and <b>c</b>"),
        ("seen<|mark|> it", "seen it"),
    ],
)
def test_tags_that_were_left_open_are_not_shown_as_thought(thought, shown):
    assert ask._untagged(thought, Protocol(marks=["<|mark|>"])) == shown


def test_a_question_of_the_run_is_asked_where_none_is_given(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    words = [*PLACES, *CORPUS]
    with pytest.raises(InputError, match="data/questions/test: no test question is there; give"):
        ask.main(words)
    folder = world / "asked"
    folder.mkdir()
    write_questions(folder / "a.jsonl", [Question("q", "which color has the fern", ["green"])])
    ask.main([*words, "--questions", "asked"])
    printed = capsys.readouterr()
    assert "asks      which color has the fern" in printed.err
    ask.main(["which color has the fern", *words])
    assert capsys.readouterr().out == printed.out


def test_the_example_is_a_question_of_the_laptops_world(monkeypatch):
    """Of the default seed and scale: what README and --help show can be asked as it stands."""
    monkeypatch.chdir(Path(__file__).parents[1])
    params = load_params()
    world = SyntheticWorld.make(params.seed, params.corpus.world)
    sets = questions_for_tests(world, params.questions.test, params.seed, params.questions.sets)
    example = re.search(r'ask "(Where.*)"', ask.__doc__)[1]
    assert example in [q.question for questions in sets.values() for q in questions]


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
    printed = capsys.readouterr()
    assert "loading   retriever" in printed.err and "searches  fern" in printed.err, "in time"
    rows = [line.split("│")[1:3] for line in printed.out.splitlines() if "│" in line]
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
    from stages.encoders.folder import read_format

    source = world / "retriever"
    monkeypatch.setattr(models, "download", lambda name, revision: str(source))
    folder = ask._place("models/retriever", "some/encoder")
    assert folder == Path("tmp/ask/some--encoder")
    assert read_format(folder).input == "query"
    assert models.read_json(folder / "reference.json")["model"] == "some/encoder"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([" ", *PLACES], "the question is empty"),
        (["q\udcff", *PLACES], "the question is not valid UTF-8"),
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


def test_a_retriever_is_not_asked_through_an_index_of_words(world, monkeypatch):
    monkeypatch.chdir(world)
    index.main([*CORPUS, "--bm25", "--output", "words", "--metrics", "words.json"])
    words = ["q", "--agent", "agent", "--index", "words", *CORPUS]
    with pytest.raises(InputError, match="words: is a BM25 index, not one of retriever"):
        ask.main([*words, "--retriever", "retriever"])
    ask.main([*words, "--retriever", "bm25"])
