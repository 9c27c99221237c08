"""docs/api.md: its blocks run as they stand, in order, and give what they say."""

import ast
import re
import shutil
from pathlib import Path
from statistics import fmean

import label_world as world
import numpy as np
import pytest

from stages import evaluate
from stages.common.records import read_jsonl, write_questions
from stages.tools import ask

PAGE = (Path(__file__).parents[1] / "docs/api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
IMPORTS = (ast.Import, ast.ImportFrom)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """What a notebook holds after all blocks, and the value of each block's last line."""
    path = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        _checkout()
        names: dict = {}
        values = [_run(block, names) for block in BLOCKS]
        yield path, names, values


def _checkout() -> None:
    """The files that `make repro` leaves, of the tests' tiny world."""
    world.build(Path())
    world.teach(Path("judge"), world.judging, steps=100)
    world.set_params()
    for folder, place in {
        "agent": "models/agent/2",
        "judge": "models/judge",
        "retriever": "models/retriever/2",
        "index": "data/index/2",
    }.items():
        shutil.copytree(folder, place)
    for file, place in {
        "passages.jsonl": "data/corpus/passages.jsonl",
        "trajectories.jsonl": "data/trajectories/1.jsonl",
    }.items():
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    Path("questions").mkdir()
    write_questions("questions/plants.jsonl", world.QUESTIONS)
    world.teach(Path("models/agent/0"), world.trajectory, steps=0)  # answers nothing
    for name, agent in {"base": "0", "2": "2"}.items():
        words = ["--name", name, "--agent", f"models/agent/{agent}", "--questions", "questions"]
        words += ["--retriever", "models/retriever/2", "--index", "data/index/2"]
        words += ["--passages", "data/corpus/passages.jsonl", "--metrics", f"{name}.json"]
        evaluate.main([*words, "--output", f"data/predictions/{name}.jsonl"])


def _run(block: str, names: dict):
    """Run a block as a notebook's cell does: the value of its last line, if it has one."""
    body = ast.parse(block).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "docs/api.md", "exec"), names)
    return last and eval(compile(ast.Expression(last.value), "docs/api.md", "eval"), names)


def test_each_block_has_four_lines_beside_its_imports():
    assert len(BLOCKS) == 9
    for block in BLOCKS:
        assert len([part for part in ast.parse(block).body if not isinstance(part, IMPORTS)]) <= 4


def test_a_trajectory_file_is_read(notebook):
    path, names, values = notebook
    row = read_jsonl(path / "data/trajectories/1.jsonl")[0]
    assert len(names["trajectories"]) == len(world.QUESTIONS)
    shown = [(turn["query"], [p["id"] for p in turn["passages"]]) for turn in row["turns"]]
    assert values[1] == shown


def test_what_is_found_is_nearest(notebook):
    path, names, values = notebook
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(path / "models/retriever/2"), device="cpu")
    [query] = model.encode_query([names["first"].queries[0]])
    passages = model.encode_document([note.contents for note in world.NOTES])
    scores = passages @ query
    assert [score for score, _, _ in values[2]] == pytest.approx(
        np.sort(scores)[::-1][:3], abs=1e-4
    )
    by_title = {note.title: score for note, score in zip(world.NOTES, scores)}
    assert all(by_title[title] == pytest.approx(score, abs=1e-4) for score, title, _ in values[2])


def test_what_is_asked_is_what_the_command_asks(notebook, monkeypatch, capsys):
    path, names, _ = notebook
    monkeypatch.chdir(path)
    ask.main([names["first"].question, "--agent", "2", "--retriever", "2"])
    said = capsys.readouterr().out.splitlines()
    rollout = names["rollout"]
    assert rollout.stop and [line[10:] for line in said if line.startswith("searches")] == list(
        rollout.queries
    )
    assert said[-2] in (f"answer    {rollout.answer}", f"no answer ({rollout.stop})")


def test_a_query_is_labelled(notebook):
    _, names, values = notebook
    ids = [hit.passage.id for hit in names["hits"]]
    grades = names["grades"]
    assert (grades.scores is None) == bool(grades.failure)
    assert values[5] == grades.scores
    if grades.scores is not None:
        assert list(grades.scores) == ids and set(grades.scores.values()) <= set(range(101))
    assert list(values[6]) == ids and set(values[6].values()) <= {0, 1}


def test_predictions_are_scored_and_compared(notebook):
    path, names, values = notebook
    rows = {n: read_jsonl(path / f"data/predictions/{n}.jsonl") for n in ("base", "2")}
    assert names["one"] == (1, 0.5)
    assert [row["answer"] for row in rows["base"]] != [row["answer"] for row in rows["2"]]
    assert values[7] == pytest.approx(fmean(row["em"] for row in rows["2"]))
    mean, low, high, clear = values[8]
    gain = fmean(row["em"] for row in rows["2"]) - fmean(row["em"] for row in rows["base"])
    assert mean == pytest.approx(gain) and low <= mean <= high
    assert clear == (low > 0 or high < 0)
