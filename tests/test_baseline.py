"""The stage baseline: a ready-made retriever, indexed and asked as its folder says."""

import shutil
from pathlib import Path

import pytest
import yaml
from checkout import command, compose_in, copy_of_checkout

from stages import baseline, index
from stages.common.models import model_digest
from stages.common.records import read_json, write_jsonl
from stages.common.search import SearchRequest
from stages.composing.compose import compose
from stages.contrastive.fresh import fresh_encoder, vocabulary
from stages.encoders.folder import read_format
from stages.params import load_params
from stages.plumbing.errors import InputError
from stages.retrieval.searcher import load_searcher

REPO = Path(__file__).parents[1]
TEXTS = ['"Ada"\nAda wrote notes.', '"Alan"\nAlan broke codes.']


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with params.yaml and a ready-made encoder; returns how to name it a baseline."""
    monkeypatch.chdir(REPO)
    compose(tmp_path / "params.yaml", ["scale=smoke", "compute.threads=1"])
    monkeypatch.chdir(tmp_path)
    model = fresh_encoder(vocabulary(TEXTS), layers=1, width=16, heads=2, max_length=32, seed=0)
    model.save_pretrained("ready", safe_serialization=True)

    def named(**block) -> None:
        params = yaml.safe_load(Path("params.yaml").read_text())
        params["baseline"] = {"mine": {"model": "ready", **block}}
        Path("params.yaml").write_text(yaml.safe_dump(params))

    return named


def make(name: str = "mine") -> dict:
    baseline.main(["--name", name, "--output", "made", "--metrics", "made.json"])
    return read_json("made.json")


def test_it_refers_to_the_model_and_finds_passages(project):
    project(query_prompt="query: ")
    assert make()["parameters"] > 0
    known = {"revision": None, "digest": model_digest(Path("ready"))}
    assert read_json("made/reference.json") == {"model": "ready", **known}
    query_format = read_format("made")
    assert (query_format.input, query_format.query_prompt, query_format.passage_prompt) == (
        "query",
        "query: ",
        "",
    )
    assert not list(Path("made").glob("*.safetensors")), "nothing is copied"
    rows = [{"id": str(number), "contents": text} for number, text in enumerate(TEXTS)]
    write_jsonl("passages.jsonl", rows)
    words = ["--passages", "passages.jsonl", "--retriever", "made"]
    index.main([*words, "--output", "index", "--metrics", "index.json"])
    searcher = load_searcher("index", "passages.jsonl", "made", load_params().compute)
    [hits] = searcher.search([SearchRequest("Who?", (), "Ada wrote")], 2)
    assert {hit.passage.id for hit in hits} == {"0", "1"}


def test_a_bare_model_is_pooled_as_the_block_says(project):
    shutil.copytree("ready", "bare")
    Path("bare/modules.json").unlink()
    project(model="bare")
    with pytest.raises(InputError, match=r"bare: has no modules\.json.*'pooling'"):
        make()
    project(model="bare", pooling="cls")
    make()
    assert read_format("made").pooling == "cls"


def test_what_is_wrong_is_named(project):
    project()
    with pytest.raises(InputError, match="'baseline' has no 'yours'"):
        make("yours")
    shutil.rmtree("ready")
    with pytest.raises(InputError, match="ready"):
        make()


def test_the_pipeline_has_it_where_it_is_named(tmp_path):
    clone = copy_of_checkout(tmp_path / "repo", "scale=smoke")
    without = command(clone, "dvc", "stage", "list", "--name-only").split()
    compose_in(clone, "scale=smoke", "+baseline=all")
    listed = command(clone, "dvc", "stage", "list", "--name-only").split()
    assert set(listed) - set(without) == {
        *(f"{stage}@{name}" for stage in ("baseline", "index-baseline") for name in ("e5", "bge")),
        *(f"compare@agent_{name}" for name in ("e5", "bge")),
    }
    graph = command(clone, "dvc", "dag", "compare@agent_bge")
    assert "index-baseline@bge" in graph and "baseline@bge" in graph


@pytest.mark.parametrize(
    ("overrides", "agent"),
    [
        (["scale=released", "+baseline=e5"], "0"),
        (["scale=real", "+baseline=e5"], "1"),
        (["scale=gpu", "+baseline=bge"], "2"),
        (["+baseline=all", '+iterations.3={previous: "2"}'], "3"),
    ],
)
def test_its_pair_is_the_last_agents(overrides, agent, tmp_path, monkeypatch):
    """At scale=released there is the published agent alone."""
    monkeypatch.chdir(Path(__file__).parents[1])
    compose(tmp_path / "params.yaml", overrides)
    params = load_params(tmp_path / "params.yaml")
    pairs = [pair for pair in params.compare.values() if pair.retriever in params.baseline]
    assert [pair.agent for pair in pairs] == [agent] * len(params.baseline)
    if "scale=released" in overrides:
        assert {(p.agent, p.retriever) for p in params.compare.values()} == {
            ("0", "0"),
            ("0", "bm25"),
            ("0", "e5"),
        }
