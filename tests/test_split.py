"""Question sets made out of one file."""

import pytest

from stages import split as module
from stages.errors import InputError
from stages.records import (
    Passage,
    Question,
    read_questions,
    write_passages,
    write_questions,
)


def test_every_question_lands_in_one_set_with_its_supporting_ids(tmp_path, capsys):
    write_passages(tmp_path / "p.jsonl", [Passage(str(i), f"T{i // 2}", "x") for i in range(6)])
    questions = [
        Question(str(i), f"q{i}", ["a"], {"supporting_titles": [f"T{i}", "none"]}) for i in range(3)
    ]
    write_questions(tmp_path / "q.jsonl", questions)
    paths = [str(tmp_path / name) for name in ("q.jsonl", "p.jsonl", "out")]
    module.main([*paths, "--training", "2", "--name", "held"])
    train = read_questions(tmp_path / "out/train.jsonl")
    test = read_questions(tmp_path / "out/test/held.jsonl")
    assert sorted(q.id for q in train + test) == ["0", "1", "2"] and len(train) == 2
    for question in train + test:
        number = 2 * int(question.id)
        assert question.metadata["supporting_ids"] == [[str(number), str(number + 1)]]
    assert "3 of 6 titles" in capsys.readouterr().out


def test_the_draw_depends_on_the_seed_alone():
    questions = [Question(str(i), "q", ["a"]) for i in range(50)]
    assert module.split(questions, 20, 0) == module.split(questions, 20, 0)
    assert module.split(questions, 20, 0) != module.split(questions, 20, 1)
    with pytest.raises(InputError, match="between 1 and 49"):
        module.split(questions, 50, 0)
