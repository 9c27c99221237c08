"""Data that git ignores, in a run that works in a copy: as docs/your-own.md says to do it."""

import json
import re
import shlex

from checkout import ROOT, command, copy_of_checkout, stages_run

LEAST = 4  # training questions that docs/your-own.md asks for


def documented() -> list[str]:
    """The words `-S CHANGE` of the first try that docs/your-own.md gives."""
    text = (ROOT / "docs/your-own.md").read_text()
    [block] = [b for b in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "scale=smoke" in b]
    words = shlex.split(block.replace("\\\n", " "))
    return [w for n, w in enumerate(words) if w == "-S" or (n and words[n - 1] == "-S")]


def test_data_that_dvc_tracks_reach_a_run_in_a_copy(tmp_path):
    copy = copy_of_checkout(tmp_path)
    files = {
        "passages": [{"id": f"p{n}", "contents": f'"T{n}"\ntext {n}'} for n in range(20)],
        "questions/train": [
            {"id": f"q{n}", "question": f"T{n}?", "golden_answers": [f"{n}"]} for n in range(LEAST)
        ],
    }
    files["questions/test/mine"] = files["questions/train"]
    for name, rows in files.items():
        path = copy / f"data/mine/{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command(copy, "dvc", "add", "-q", "data/mine")
    command(copy, "git", "add", "data/mine.dvc")
    told = command(copy, "dvc", "exp", "run", "--temp", *documented(), "questions")
    assert stages_run(told) == ["corpus", "questions"]
