"""Question sets made out of one file."""

import pytest

from stages.common.records import Question, read_questions, write_questions
from stages.plumbing.errors import InputError
from stages.tools import split as module


def test_every_question_lands_in_one_set(tmp_path):
    write_questions(tmp_path / "q.jsonl", [Question(str(i), f"q{i}", ["a"]) for i in range(3)])
    paths = [str(tmp_path / name) for name in ("q.jsonl", "out")]
    module.main([*paths, "--training", "2", "--name", "held"])
    train = read_questions(tmp_path / "out/train.jsonl")
    test = read_questions(tmp_path / "out/test/held.jsonl")
    assert sorted(q.id for q in train + test) == ["0", "1", "2"] and len(train) == 2


def test_the_draw_depends_on_the_seed_alone():
    questions = [Question(str(i), "q", ["a"]) for i in range(50)]
    assert module.split(questions, 20, 0) == module.split(questions, 20, 0)
    assert module.split(questions, 20, 0) != module.split(questions, 20, 1)
    with pytest.raises(InputError, match="between 1 and 49"):
        module.split(questions, 50, 0)
    with pytest.raises(InputError, match="there is only one question"):
        module.split(questions[:1], 1, 0)


@pytest.mark.parametrize("name", ["", "../held", "a/b", "mine.jsonl"])
def test_a_name_is_no_path(tmp_path, name):
    write_questions(tmp_path / "q.jsonl", [Question(str(i), f"q{i}", ["a"]) for i in range(3)])
    paths = [str(tmp_path / name) for name in ("q.jsonl", "out")]
    with pytest.raises(InputError, match="--name: of letters, digits"):
        module.main([*paths, "--training", "2", "--name", name])
    assert not (tmp_path / "out").exists()


def test_no_other_test_set_asks_what_is_trained_on(tmp_path):
    """The set of a former split under another name stays in the folder."""
    write_questions(tmp_path / "q.jsonl", [Question(str(i), f"q{i}", ["a"]) for i in range(9)])
    write_questions(tmp_path / "out/test/own.jsonl", [Question("x", "x", ["a"])])
    paths = [str(tmp_path / name) for name in ("q.jsonl", "out")]
    module.main([*paths, "--training", "2", "--name", "first"])
    kept = (tmp_path / "out/train.jsonl").read_bytes()
    with pytest.raises(
        InputError, match=r"first\.jsonl: has questions that are drawn for training"
    ):
        module.main([*paths, "--training", "4", "--name", "second"])
    assert (tmp_path / "out/train.jsonl").read_bytes() == kept
    module.main([*paths, "--training", "4", "--name", "first"])
