"""Trajectories of other programs: ours told as responses, and those of a real Search-R1 agent."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from real_files import RESPONSES, needs

from stages.common.records import read_jsonl, write_jsonl
from stages.engines.tokenizer import load_tokenizer
from stages.params import load_params
from stages.plumbing.errors import InputError
from stages.tools import adopt

ROOT = Path(__file__).parents[1]
AGENT = ROOT / "models/agent/0"
SHOWN = "\n<information>\nThe film X is by Soman.\n</information>\n"
RESPONSE = (
    "<think> find the director </think> <search> who directed X </search>"
    + SHOWN
    + "<think> film X is by Soman </think> <search> where was Soman born </search>"
    + SHOWN
    + "<think> born in Kaliton </think> <answer> Kaliton </answer>"
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def line(number: int, response: object) -> dict:
    row = {"id": f"q{number}", "question": "Where was he born?", "golden_answers": ["Kaliton"]}
    return row | {"response": response}


def test_a_response_becomes_turns(place, capsys):
    forged = RESPONSE.replace("is by Soman.", "is by <answer> Nobody </answer>.")
    write_jsonl("logs.jsonl", [line(0, RESPONSE), line(1, "<answer> x </answer>"), line(2, forged)])
    adopt.main(["logs.jsonl", "--agent", str(AGENT), "--output", "data/trajectories/1.jsonl"])
    first, second = read_jsonl("data/trajectories/1.jsonl")
    assert (first["answer"], first["em"], first["searches"], first["stop"]) == (
        *("Kaliton", 1, 2),
        "answer",
    )
    assert [turn["query"] for turn in first["turns"]] == [
        *("who directed X", "where was Soman born"),
        None,
    ]
    assert "".join(turn["text"] + turn["information"] for turn in first["turns"]) == RESPONSE
    tokenizer = load_tokenizer(AGENT)
    assert tokenizer.decode(first["turns"][0]["token_ids"]) == first["turns"][0]["text"]
    assert second["answer"] == "Kaliton", "an answer inside a passage is nobody's"
    assert capsys.readouterr().err == "2 trajectories, left out for no_search: 1\n"


def test_information_that_nothing_asked_for_is_counted(place, capsys):
    write_jsonl("logs.jsonl", [line(0, SHOWN + RESPONSE.replace(SHOWN, SHOWN * 2)), line(1, SHOWN)])
    adopt.main(["logs.jsonl", "--agent", str(AGENT), "--output", "out.jsonl"])
    [row] = read_jsonl("out.jsonl")
    assert "".join(t["text"] + t["information"] for t in row["turns"]).count("<information>") == 2
    assert capsys.readouterr().err == (
        "1 trajectories, left out for no_search: 1, "
        "information left out that follows no words of the agent: 4 times\n"
    )


def test_bad_lines_are_one_clear_error(place):
    words = ["logs.jsonl", "--agent", str(AGENT), "--output", "out.jsonl"]
    for rows, message in (
        ([line(0, 3)], r"logs\.jsonl:1: 'response' must be a text"),
        ([line(0, "nothing")], r"logs\.jsonl: no response searches"),
        ([{"id": "q"}], r"logs\.jsonl:1: .*question"),
        ([line(0, RESPONSE), line(0, RESPONSE)], r"logs\.jsonl:2: the id 'q0' occurs twice"),
    ):
        Path("logs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        with pytest.raises(InputError, match=message):
            adopt.main(words)
    assert not Path("out.jsonl").exists()


def test_a_log_longer_than_the_models_window_is_no_error(place):
    """Nothing runs here, and the library's own line would say that something will fail."""
    script = (
        "from stages.plumbing.errors import run; from stages.tools import adopt; run(adopt.main)"
    )
    write_jsonl("logs.jsonl", [line(0, RESPONSE.replace("film X", "film X " * 5000))])
    words = ["logs.jsonl", "--agent", str(AGENT), "--output", "out.jsonl"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "1 trajectories\n")


@needs(RESPONSES)
def test_real_responses_keep_their_queries_answers_and_text(place):
    agent = place / "agent"
    shutil.copytree(AGENT, agent)
    block = load_params(ROOT / "params.yaml").protocol  # its prompt needs no chat template
    real = yaml.safe_load((ROOT / "conf/protocol/search_r1.yaml").read_text())
    (agent / "protocol.yaml").write_text(yaml.safe_dump(real | {"chat": False}))
    assert block.search_pattern == real["search_pattern"]
    adopt.main([str(RESPONSES), "--agent", str(agent), "--output", "out.jsonl", "--strict"])
    told = {row["id"]: row for row in read_jsonl("out.jsonl")}
    rows = read_jsonl(RESPONSES, ("id", "question", "golden_answers", "response"))
    assert len(told) == len(rows)
    for row in rows:
        found = told[row["id"]]
        assert found["searches"] == row["response"].count("<search>")
        assert found["answer"] == row["prediction"]
        assert "".join(t["text"] + t["information"] for t in found["turns"]) == row["response"]
