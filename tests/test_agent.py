"""The agent stage: files out, the same bytes twice, and clear words for bad input."""

from __future__ import annotations

import csv
import hashlib
import json

import pytest
import yaml
from ppo_world import PASSAGES, QUESTIONS, write_base

from stages import agent, index
from stages.common.records import write_passages, write_questions
from stages.plumbing.errors import InputError

TINY = {
    "steps": 2,
    "questions": 2,
    "rollouts": 2,
    "mini_batch": 2,
    "micro_batch": 2,
    "max_searches": 2,
}
ROLLOUT = {"max_turn_tokens": 12, "max_information_tokens": 32, "max_context_tokens": 128}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def project(base, tmp_path, monkeypatch):
    """A working folder with parameters, a corpus, questions and a BM25 index."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    settings = {"agent": TINY, "rollout": ROLLOUT, "compute": {"threads": 1}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    write_passages("passages.jsonl", PASSAGES)
    write_questions("questions.jsonl", QUESTIONS)
    arguments = "--passages passages.jsonl --bm25 --output index --metrics index.json"
    index.main(arguments.split())
    return tmp_path


def train(base, name: str) -> None:
    arguments = (
        f"--base {base} --retriever {base} --index index --passages passages.jsonl --iteration 1 "
        f"--questions questions.jsonl --output {name} --metrics {name}.json --curves {name}.csv"
    )
    agent.main(arguments.split())


def hashes(folder) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())}


def test_writes_a_plain_model_folder_curves_and_figures_twice_the_same(project, base):
    train(base, "one")
    train(base, "two")
    assert hashes(project / "one") == hashes(project / "two")
    assert (project / "one.csv").read_bytes() == (project / "two.csv").read_bytes()
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= hashes(project / "one").keys()
    assert hashes(project / "one")["model.safetensors"] != hashes(base)["model.safetensors"]

    rows = list(csv.DictReader(open("one.csv")))
    assert [row["step"] for row in rows] == ["1", "2"]
    metrics = json.loads((project / "one.json").read_text())
    assert (metrics["in"], metrics["out"], metrics["dropped"]) == (6, 4, {"not_drawn": 2})
    mean = sum(float(row["reward"]) for row in rows) / 2
    assert metrics["last"]["reward"] == pytest.approx(mean, abs=1e-6)
    assert not list((project / "tmp" / "scratch").iterdir())


def test_too_few_questions(project, base):
    write_questions("questions.jsonl", QUESTIONS[:1])
    with pytest.raises(
        InputError, match=r"questions\.jsonl: holds 1 questions, 'agent\.questions'"
    ):
        train(base, "one")


def test_a_missing_base(project):
    with pytest.raises(InputError, match="nowhere: no such model folder"):
        train("nowhere", "one")


def test_a_temperature_of_zero(project, base):
    (project / "params.yaml").write_text("agent: {temperature: 0}\n")
    with pytest.raises(InputError, match=r"'agent\.temperature' must be above 0"):
        train(base, "one")
