"""`python -m stages.tools.score`: figures, lines, and errors that name the line."""

import json
import subprocess
import sys

import pytest

from stages.plumbing.errors import InputError
from stages.tools.score import main

ROWS = [
    {"id": "a", "golden_answers": ["Paris"], "prediction": "the paris"},
    {"id": 2, "golden_answers": ["Rome"], "prediction": "Rome, Italy"},
    {"id": "ü", "golden_answers": ["Oslo"], "prediction": None},
    {"id": "d", "golden_answers": ["Oslo"], "prediction": ""},
]


def write(folder, *lines):
    file = folder / "predictions.jsonl"
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_the_means(tmp_path, capsys):
    main([write(tmp_path, *ROWS)])
    assert capsys.readouterr().out == "EM 0.2500\nF1 0.4167\n"


def test_each_item(tmp_path, capsys):
    main([write(tmp_path, *ROWS), "--each"])
    captured = capsys.readouterr()
    items = [json.loads(line) for line in captured.out.splitlines()]
    assert items == [
        {"id": "a", "em": 1, "f1": 1.0},
        {"id": 2, "em": 0, "f1": pytest.approx(2 / 3)},
        {"id": "ü", "em": 0, "f1": 0.0},
        {"id": "d", "em": 0, "f1": 0.0},
    ]
    assert captured.err == "EM 0.2500\nF1 0.4167\n"


@pytest.mark.parametrize(
    "bad",
    [
        "{not json}",
        "[1]",
        '{"golden_answers": ["a"], "prediction": "a"}',
        '{"id": "x", "prediction": "a"}',
        '{"id": "x", "golden_answers": [], "prediction": "a"}',
        '{"id": "x", "golden_answers": [" "], "prediction": "a"}',
        '{"id": "x", "golden_answers": "a", "prediction": "a"}',
        '{"id": "x", "golden_answers": ["a", 1], "prediction": "a"}',
        '{"id": "x", "golden_answers": ["a"], "prediction": 3}',
        '{"id": "x", "golden_answers": ["a"], "prediction": ["a"]}',
        '{"id": null, "golden_answers": ["a"], "prediction": "a"}',
        '{"id": "x", "golden_answers": ["a"]}',  # a question
        '{"id": "x", "golden_answers": ["a"], "pred": "a"}',
        '{"id": "x", "golden_answers": ["a"], "answer": "a"}',  # a data set's gold answer
        '{"id": "x", "golden_answers": ["a"], "prediction": "a", "set": 3}',
        '{"id": "x", "golden_answers": ["a"], "answer": ["a"], "turns": []}',
        '{"id": "a", "golden_answers": ["a"], "prediction": "a"}',  # the id of line 1
    ],
)
def test_a_bad_line_is_named(tmp_path, bad):
    file = write(tmp_path, ROWS[0], bad, ROWS[1])
    with pytest.raises(InputError, match=r"predictions\.jsonl:2: "):
        main([file])


def test_a_file_of_another_program_is_read_as_it_is_meant(tmp_path, capsys):
    """It may open with a byte order mark and hold blank lines; a key that stands twice has no
    meaning.
    """
    main([write(tmp_path, "\ufeff" + json.dumps(ROWS[0]), "")])
    assert capsys.readouterr().out == "EM 1.0000\nF1 1.0000\n"
    twice = '{"id": "x", "golden_answers": ["a"], "prediction": "a", "prediction": "b"}'
    with pytest.raises(InputError, match=":1: the key 'prediction' occurs twice"):
        main([write(tmp_path, twice)])


def test_the_repos_own_files_are_read(tmp_path, capsys):
    row = {"golden_answers": ["Oslo"], "turns": [], "question": "?"}
    rows = [row | {"set": s, "id": "q", "answer": a} for s, a in (("x", "oslo"), ("y", None))]
    main([write(tmp_path, *rows), "--each"])
    captured = capsys.readouterr()
    assert captured.err == "EM 0.5000\nF1 0.5000\n"
    assert json.loads(captured.out.splitlines()[0]) == {"set": "x", "id": "q", "em": 1, "f1": 1.0}
    with pytest.raises(InputError, match=r":3: the id 'q' occurs twice"):
        main([write(tmp_path, *rows, rows[0])])


def test_what_is_missing_is_named_with_what_is_there(tmp_path):
    said = r":1: the key 'prediction' is missing \(null: no answer\); .*'golden_answers', 'pred'"
    with pytest.raises(InputError, match=said):
        main([write(tmp_path, {"id": "x", "golden_answers": ["a"], "pred": "a"})])


def test_the_same_id_as_text_and_as_number_occurs_twice(tmp_path):
    rows = [{"id": i, "golden_answers": ["a"], "prediction": "a"} for i in (2, "2")]
    with pytest.raises(InputError, match=r":2: .*occurs twice"):
        main([write(tmp_path, *rows)])


def test_one_line_of_error_and_a_light_start(tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", "stages.tools.score"]
    done = subprocess.run([*command, str(tmp_path / "none.jsonl")], capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 2
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert "torch" not in done.stderr
    with pytest.raises(InputError, match="no prediction"):
        main([write(tmp_path)])
