"""The stage `trajectories` on a trained agent and a BM25 index, killed and resumed too."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rollout_models import DIALOGUES, train_agent

from stages import index, params, trajectories
from stages.common.records import Passage, Question, write_passages, write_questions
from stages.plumbing.errors import InputError
from stages.rollout.draw import draw_questions
from stages.rollout.protocol import AgentProtocol

PARAMS = """
seed: 0
rollout: {top_k: 1, max_searches: 2, max_turn_tokens: 30, max_context_tokens: 200}
trajectories: {questions: 3}
compute: {threads: 1}
"""
KILLED = """
import os, signal, sys
from stages import trajectories
from stages.rollout import loop
trajectories.SHARD, shards, finish = 1, [], loop.run
def run(*args, **options):
    if len(shards) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    shards.append(finish(*args, **options))
loop.run = run
trajectories.main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with an agent, a corpus, its index, questions and parameters."""
    folder = tmp_path_factory.mktemp("world")
    train_agent(folder / "agent", AgentProtocol(params.Protocol()))
    passages = [
        Passage(f"p{n}", film, f"{query} of {gold}")
        for n, (film, query, gold) in enumerate(DIALOGUES)
    ]
    write_passages(folder / "passages.jsonl", passages)
    write_questions(
        folder / "train.jsonl",
        [Question(f"q{n}", text, [gold]) for n, (text, _, gold) in enumerate(DIALOGUES)],
    )
    (folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        files = ["--passages", "passages.jsonl", "--metrics", "index.json"]
        index.main([*files, "--bm25", "--output", "index"])
    return folder


def arguments(output):
    return (
        "--iteration 1 --agent agent --retriever agent --index index --passages passages.jsonl "
        f"--questions train.jsonl --output {output}/1.jsonl --metrics {output}/metrics.json"
    ).split()


def test_the_stage_writes_lines_and_figures(world, monkeypatch):
    monkeypatch.chdir(world)
    trajectories.main(arguments("whole"))
    lines = [json.loads(line) for line in Path("whole/1.jsonl").read_text().splitlines()]
    assert [line["em"] for line in lines] == [1, 1, 1]
    for line in lines:
        number = int(line["id"].removeprefix("q"))
        question, query, gold = DIALOGUES[number]
        assert (line["question"], line["golden_answers"]) == (question, [gold])
        assert [turn["query"] for turn in line["turns"]] == [query, None]
        assert [hit["id"] for hit in line["turns"][0]["passages"]] == [f"p{number}"]
    assert json.loads(Path("whole/metrics.json").read_text()) == {
        "in": 3,
        "out": 3,
        "dropped": {},
        "em": 1.0,
        "f1": 1.0,
        "searches": 1.0,
        "queries": 3,
        "stops": {"answer": 3},
    }
    assert not list(Path("tmp/scratch").glob("*"))


def test_a_killed_run_goes_on_to_the_same_bytes(world, monkeypatch):
    monkeypatch.chdir(world)
    monkeypatch.setattr(trajectories, "SHARD", 1)
    trajectories.main(arguments("first"))
    root = str(Path(trajectories.__file__).parents[1])
    command = [sys.executable, "-c", KILLED, *arguments("second")]
    killed = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": root}, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    [scratch] = Path("tmp/scratch").glob("trajectories@1-*")
    assert len(list(scratch.glob("*.jsonl"))) == 2
    assert not Path("second/1.jsonl").exists()
    trajectories.main(arguments("second"))
    for name in ("1.jsonl", "metrics.json"):
        assert Path("first", name).read_bytes() == Path("second", name).read_bytes()


def test_more_questions_than_there_are(world, monkeypatch, tmp_path):
    monkeypatch.chdir(world)
    few = Path("params.yaml").read_text().replace("questions: 3", "questions: 5")
    monkeypatch.setattr(trajectories, "load_params", lambda: params.load_params(tmp_path / "p"))
    (tmp_path / "p").write_text(few)
    with pytest.raises(InputError, match=r"train\.jsonl: 'trajectories\.questions': 5 .* 4$"):
        trajectories.main(arguments("none"))


def test_an_agent_that_does_nothing_fails_with_its_turns_kept(world, monkeypatch, tmp_path):
    """A turn of three tokens holds no action, so no trajectory has a query or an answer."""
    monkeypatch.chdir(world)
    text = Path("params.yaml").read_text().replace("max_turn_tokens: 30", "max_turn_tokens: 3")
    for name, share in (("strict", 0.05), ("open", 1)):
        few = text.replace("questions: 3", f"questions: 3, max_dropped: {share}")
        (tmp_path / name).write_text(few)
        path = tmp_path / name
        monkeypatch.setattr(trajectories, "load_params", lambda p=path: params.load_params(p))
        if name == "strict":
            with pytest.raises(InputError) as error:
                trajectories.main(arguments("nothing"))
        else:
            monkeypatch.setattr(trajectories, "_build", lambda *_: pytest.fail("done again"))
            trajectories.main(arguments("nothing"))
        lines = [json.loads(line) for line in Path("nothing/1.jsonl").read_text().splitlines()]
        assert {(line["stop"], line["searches"]) for line in lines} == {("invalid", 0)}
    said = str(error.value)
    assert said.startswith("trajectories@1: 3 of 3 trajectories") and "invalid: 3" in said
    assert "nothing/1.jsonl" in said and "\n" not in said


def test_iterations_share_their_questions_where_told_to(world, monkeypatch, tmp_path):
    monkeypatch.chdir(world)
    text = Path("params.yaml").read_text().replace("questions: 3", "questions: 2, fresh: FRESH")
    asked = {}
    for fresh in ("true", "false"):
        (tmp_path / fresh).write_text(text.replace("FRESH", fresh))
        path = tmp_path / fresh
        monkeypatch.setattr(trajectories, "load_params", lambda p=path: params.load_params(p))
        for iteration in ("1", "2", "3"):
            words = arguments(f"{fresh}{iteration}")
            trajectories.main(["--iteration", iteration, *words[2:]])
            lines = Path(f"{fresh}{iteration}/1.jsonl").read_text().splitlines()
            asked[fresh, iteration] = {json.loads(line)["id"] for line in lines}
    assert asked["false", "1"] == asked["false", "2"] == asked["false", "3"] == asked["true", "1"]
    assert len({frozenset(asked["true", iteration]) for iteration in "123"}) > 1


def test_the_draw_is_named_and_keeps_its_luck():
    questions = [Question(str(n), "?", ["x"]) for n in range(200)]
    drawn = draw_questions(questions, 50, 0, "trajectories", "1")
    assert drawn == draw_questions(questions, 50, 0, "trajectories", 1)
    assert len(set(map(id, drawn))) == 50
    assert drawn == sorted(drawn, key=lambda q: int(q.id))
    assert drawn != draw_questions(questions, 50, 0, "trajectories", "2")
    assert drawn != draw_questions(questions, 50, 1, "trajectories", "1")
    back = draw_questions(questions[::-1], 50, 0, "trajectories", "1")
    assert {q.id for q in back} == {q.id for q in drawn}
    more = draw_questions(questions, 60, 0, "trajectories", "1")
    assert {q.id for q in drawn} < {q.id for q in more}
    fewer = draw_questions([q for q in questions if q not in drawn[:5]], 50, 0, "trajectories", 1)
    assert {q.id for q in drawn[5:]} < {q.id for q in fewer}
