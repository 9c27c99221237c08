"""Too few passages or questions are told by the stage questions, before anything is trained."""

import json
from pathlib import Path

import pytest
import yaml

from stages import questions
from stages.common.records import read_questions
from stages.composing.compose import compose
from stages.plumbing.errors import InputError
from stages.rollout.draw import draw_questions

REPO = Path(__file__).parents[1]
OWN = {"source": "sets", "training": None, "test": None, "sets": None}


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A function that runs the stage on 25 passages and 6 training questions."""
    monkeypatch.chdir(REPO)
    compose(tmp_path / "params.yaml", ["scale=smoke"])
    monkeypatch.chdir(tmp_path)
    Path("corpus").mkdir()
    passages = [{"id": str(n), "contents": f"t\ntext {n}"} for n in range(25)]
    lines("corpus/passages.jsonl", passages)
    Path("sets/test").mkdir(parents=True)
    asked = [{"id": str(n), "question": f"q{n}?", "golden_answers": ["a"]} for n in range(6)]
    lines("sets/train.jsonl", asked)
    lines("sets/test/a.jsonl", asked)

    def run(**changes) -> None:
        values = yaml.safe_load(Path("params.yaml").read_text())
        values["questions"] = OWN
        values["corpus"]["source"] = "corpus/passages.jsonl"
        for name, block in ({"trajectories": {"questions": 6}} | changes).items():
            values[name] |= block
        Path("params.yaml").write_text(yaml.safe_dump(values))
        questions.main(["--corpus", "corpus", "--output", "out"])

    return run


def lines(path: str, rows: list[dict]) -> None:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_enough_is_enough(stage):
    stage()
    stage(trajectories={"questions": None})
    train = read_questions("out/train.jsonl")
    assert draw_questions(train, None, 0, "trajectories", "1") == train and len(train) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trajectories": {"questions": 7}}, r"'trajectories.questions' \(7\) .* the 6 training"),
        ({"agent": {"questions": 7}}, r"'agent.questions' \(7\) is more than the 6 training"),
        (
            {"replug": {"retrievers": {"a": {}}, "questions": 9}},
            r"'replug.questions' \(9\) is more than the 6 training",
        ),
        ({"candidates": {"top_k": 26}}, r"'candidates.top_k' \(26\) is more than the 25 passages"),
        (
            {"index": {"kind": "ivfpq", "ivfpq": {"lists": 4, "probes": 1, "bytes": 16}}},
            r"'index.ivfpq.lists' \(4\) needs 256 passages to train on, the corpus has 25",
        ),
    ],
)
def test_too_few_are_told_at_once(stage, changes, message):
    with pytest.raises(InputError, match=rf"^params.yaml: {message}"):
        stage(**changes)
    assert not Path("out").exists()
