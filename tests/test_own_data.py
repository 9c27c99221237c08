"""Data that git ignores, in a run that works in a copy: as docs/your-own.md says to do it."""

import json

from checkout import command, copy_of_checkout, stages_run

CHANGES = ("scale=smoke", "corpus.source=data/mine/passages.jsonl", "questions.sets=null")
CHANGES += ("questions.source=data/mine/questions", "questions.training=4", "questions.test=4")


def test_data_that_dvc_tracks_reach_a_run_in_a_copy(tmp_path):
    copy = copy_of_checkout(tmp_path)
    files = {
        "passages": [{"id": f"p{n}", "contents": f'"T{n}"\ntext {n}'} for n in range(9)],
        "questions/train": [
            {"id": f"q{n}", "question": f"T{n}?", "golden_answers": [f"{n}"]} for n in range(5)
        ],
    }
    files["questions/test/mine"] = files["questions/train"]
    for name, rows in files.items():
        path = copy / f"data/mine/{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command(copy, "dvc", "add", "-q", "data/mine")
    command(copy, "git", "add", "data/mine.dvc")
    words = [word for change in CHANGES for word in ("-S", change)]
    told = command(copy, "dvc", "exp", "run", "--temp", *words, "questions")
    assert stages_run(told) == ["corpus", "questions"]
