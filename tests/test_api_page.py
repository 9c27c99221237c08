"""docs/api.md: its blocks run as they stand, in order, and give what they say."""

import ast
import re
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import label_world as world
import numpy as np
import pytest

from stages import evaluate
from stages.common.records import read_jsonl, write_questions
from stages.plumbing.errors import InputError
from stages.tools import ask

PAGE = (Path(__file__).parents[1] / "docs/api.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(PAGE)


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


def test_each_section_has_four_lines_beside_its_imports():
    sections = [BLOCK.findall(section) for section in PAGE.split("\n## ")]
    assert [len(blocks) for blocks in sections] == [1, 1, 1, 1, 2, 1, 1, 0]
    for blocks in sections:
        lines = [line for block in blocks for line in block.splitlines() if line]
        assert len([line for line in lines if not line.startswith(("from ", "import "))]) <= 4
        assert len(lines) <= 6


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
    answered = names["answered"]
    assert [line[10:] for line in said if line.startswith("searches")] == answered.queries
    assert said[-2] in (f"answer    {answered.answer}", f"no answer ({answered.stop})")
    assert names["pair"].answer(answered.question, [answered.answer or "none"]).em == bool(
        answered.answer
    )


def test_a_query_is_labelled(notebook):
    _, names, values = notebook
    ids = [hit.passage.id for hit in names["hits"]]
    grades = names["grades"]
    assert (grades.scores is None) == bool(grades.failure)
    assert values[4] == grades.scores
    if grades.scores is not None:
        assert list(grades.scores) == ids and set(grades.scores.values()) <= set(range(101))
    assert list(values[5]) == ids and set(values[5].values()) <= {0, 1, None}
    assert {0, 1} & set(values[5].values())


def test_what_says_nothing_is_no_label(notebook):
    _, names, _ = notebook
    first, pair, passages = names["first"], names["pair"], names["passages"]
    with pytest.raises(InputError, match="GAC needs its gold answers"):
        pair.correctness(replace(first, golden_answers=[]), first.searched[0], passages)
    short = replace(names["params"].rollout, max_context_tokens=1)
    lost = replace(pair, params=replace(names["params"], rollout=short))
    found = lost.correctness(first, first.searched[0], passages)
    assert found == {passage.id: None for passage in passages}


def test_predictions_are_scored_and_compared(notebook):
    path, names, values = notebook
    rows = {n: read_jsonl(path / f"data/predictions/{n}.jsonl") for n in ("base", "2")}
    assert names["one"] == (1, 0.5)
    assert [row["answer"] for row in rows["base"]] != [row["answer"] for row in rows["2"]]
    assert values[6] == pytest.approx(fmean(row["em"] for row in rows["2"]))
    mean, low, high, clear = values[7]
    gain = fmean(row["em"] for row in rows["2"]) - fmean(row["em"] for row in rows["base"])
    assert mean == pytest.approx(gain) and low <= mean <= high
    assert clear == (low > 0 or high < 0)
