"""The published recipes as parameters: what each retriever reads, and the costs of a run."""

import re
import shlex
from pathlib import Path

import pytest

from stages.common.search import SearchRequest
from stages.composing.compose import compose
from stages.encoders.reference import format_of
from stages.params import POOLINGS, VisitSource, load_params
from stages.tools import plan

ROOT = Path(__file__).parents[1]
ARENA = (ROOT / "docs/arena.md").read_text(encoding="utf-8")
ASKED = SearchRequest("Who?", ("first",), "second", "I think")
WEB = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
ITER = (
    "Instruct: Given the main question, the agent's reasoning and the current sub-query it led to, "
    "and the sub-queries already tried in previous interactions, retrieve documents relevant to "
    "the current sub-query that provide NEW information not yet found.\nQuery: "
)
AGENTIR = (
    "Instruct: Given a user's reasoning followed by a web search query, retrieve relevant passages "
    "that answer the query while incorporating the user's reasoning\nQuery:"
)
READ = {  # what stands in front of the tokenizer
    "agentic_r": "query: Who? [SEP] second",
    "lrat": f"{WEB}second",
    "iter": f"{ITER}Main Question: Who?\nCurrent Reasoning: I think\nCurrent Subquery: second\n"
    "Previous Interactions:\nPrevious SubQuery 1: first",
    "agentir": f"{AGENTIR}Reasoning: I think\n\nQuery: second",
    "qwen3": f"{WEB}second",
    "e5": "query: second",
    "bge": "Represent this sentence for searching relevant passages: second",
}
FIXED = "corpus.source=conf/data/wiki_fixed.yaml"


def composed(folder: Path, *overrides: str):
    compose(folder / "params.yaml", list(overrides))
    return load_params(folder / "params.yaml")


def test_each_published_retriever_reads_what_it_was_trained_with(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    params = composed(tmp_path, "scale=gpu", "+baseline=arena")
    formats = {name: format_of(block) for name, block in params.baseline.items()}
    assert {n: f.query_prompt + f.text(ASKED) for n, f in formats.items()} == READ
    assert all(f.pooling in POOLINGS for f in formats.values())
    listed = {path.stem for path in (ROOT / "conf/baseline").glob("*.yaml")}
    assert listed == {*READ, "all", "arena"}
    last = list(params.iterations)[-1]
    pairs = {(pair.agent, pair.retriever) for pair in params.compare.values()}
    assert {(last, name) for name in READ} <= pairs


@pytest.mark.parametrize("scale", ["gpu", "paper"])
def test_the_costs_in_the_document_are_those_of_the_plan(scale, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    command = f"scale={scale} +encoder=qwen3 {FIXED} +baseline=arena"
    assert command in ARENA
    params = composed(tmp_path, *command.split())
    assert params.encoder.model == "Qwen/Qwen3-Embedding-0.6B"
    assert format_of(params.encoder).query_prompt == WEB
    plan.main(["--params", str(tmp_path / "params.yaml")])
    total = next(s for s in capsys.readouterr().out.splitlines() if s.startswith("In all "))
    assert total in ARENA


@pytest.mark.parametrize("scale", ["gpu", "paper"])
def test_agents_at_scale_can_be_labelled_by_what_they_open(scale, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    rows = [line for line in ARENA.splitlines() if "-S protocol=visit_tool" in line]
    commands = re.findall(r"`dvc exp run -S scale=gpu (.+?)`", "\n".join(rows))
    assert len(commands) == len(rows) == 2, "LRAT's and ITER's"
    for command in commands:
        changes = [word for word in shlex.split(command) if word != "-S"]
        changes += ["agent.protocol=null"] if scale == "paper" else []  # which is Search-R1's
        _check_visits(composed(tmp_path, f"scale={scale}", *changes))


def _check_visits(params) -> None:
    assert params.protocol.visit_tool and params.training_protocol.visit_tool
    assert params.visits.source is VisitSource.tool and params.visits.verify
    assert params.pairs.tiers or params.retriever.instance_weights
    assert params.training_rollout.max_visits == 4
