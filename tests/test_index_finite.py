"""An index that holds NaN or infinity is never written, and never searched in silence."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import retrieval_world as world
import torch
import yaml
from fastapi.testclient import TestClient
from rows import trajectory_row
from safetensors.torch import load_file, save_file

from stages import candidates, index
from stages.common.records import Passage, read_json, write_json, write_jsonl
from stages.common.search import SearchRequest
from stages.encoders.query_format import QueryFormat
from stages.params import Compute
from stages.plumbing.errors import InputError
from stages.retrieval import dense, devices
from stages.retrieval.ranking import best
from stages.retrieval.searcher import load_searcher
from stages.serving import client
from stages.serving.app import application

REPO = Path(__file__).parents[1]
REQUEST = SearchRequest("Where was the director born?", (), "where was N3man born")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A corpus, a retriever, and its index of every kind."""
    path = tmp_path_factory.mktemp("finite")
    world.write_corpus(path / "passages.jsonl", world.corpus(60))  # 480 passages
    world.tiny_retriever(path / "retriever", QueryFormat("question_query"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        build("exact", "--retriever", "retriever")
        build("half", "--retriever", "retriever", dtype="float16")
        build("hnsw", "--retriever", "retriever", kind="hnsw")
        build("bm25", "--bm25")
    return path


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    """A copy to break."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def build(name: str, *how: str, **changes) -> None:
    params = yaml.safe_load((REPO / "params.yaml").read_text())
    params["index"] |= changes
    Path("params.yaml").write_text(yaml.safe_dump(params))
    index.main(
        ["--passages", "passages.jsonl", *how, "--output", name, "--metrics", f"{name}.json"]
    )


def searcher(name: str):
    retriever = None if name == "bm25" else "retriever"
    return load_searcher(name, "passages.jsonl", retriever, Compute())


def spoil(name: str, value: float, row: int | None = None) -> None:
    """Put `value` into one vector, or into all."""
    vectors = np.load(f"{name}/vectors.npy", mmap_mode="r+")
    vectors[slice(None) if row is None else row, 3] = value
    vectors.flush()


def without_note(name: str) -> None:
    about = read_json(f"{name}/index.json")
    assert about.pop("finite") is True
    write_json(f"{name}/index.json", about)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["exact", "half", "hnsw"])
def test_vectors_that_are_not_finite_are_refused_by_readers(place, name, value):
    spoil(name, value)
    with pytest.raises(InputError, match=f"^{name}: vector 1 is not finite: build the index again"):
        searcher(name)


def test_one_vector_of_many_is_found_without_the_note(place, monkeypatch, capsys):
    monkeypatch.setattr(dense, "SAMPLE", 16)
    monkeypatch.setattr(dense, "BLOCK", 100)
    spoil("exact", np.nan, row=333)
    without_note("exact")
    with pytest.raises(InputError, match="exact: vector 334 is not finite"):
        searcher("exact")
    told = capsys.readouterr().err
    assert told.startswith("exact: index.json does not say that") and told.count("\n") == 1


def test_a_sound_index_without_the_note_is_read(place, capsys):
    found = [searcher(name).search([REQUEST], 5) for name in ("exact", "bm25")]
    assert capsys.readouterr().err == ""
    for name in ("exact", "bm25"):
        without_note(name)
    assert [searcher(name).search([REQUEST], 5) for name in ("exact", "bm25")] == found
    assert capsys.readouterr().err.count("looking at all of them") == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_vector_of_many_is_found_by_its_score(place, monkeypatch, value):
    monkeypatch.setattr(dense, "SAMPLE", 16)
    spoil("exact", value, row=333)
    search = searcher("exact")
    with pytest.raises(InputError, match="exact: a score is not finite: build the index again"):
        search.search([REQUEST], 5)
    with pytest.raises(InputError, match=r"a vector of passages 301 to 400 is not finite"):
        monkeypatch.setattr(devices, "BLOCK", 100)
        devices.DeviceIndex(np.load("exact/vectors.npy"), ["cpu"], hold=True)


def test_a_word_whose_score_is_no_number_is_found(place):
    [file] = Path("bm25").glob("data*.npy")
    weights = np.load(file)
    weights[:] = np.nan
    np.save(file, weights)
    with pytest.raises(InputError, match="bm25: number 1 is not finite"):
        searcher("bm25")
    with pytest.raises(InputError, match="a score is not finite"):
        best(np.array([1.0, np.nan, 2.0]), 2)


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_a_retriever_that_diverged_makes_no_index(place, kind):
    break_retriever()
    told = r"gives '.*' a vector that is not finite: its training diverged \(lower its learning"
    with pytest.raises(InputError, match=told):
        build("diverged", "--retriever", "retriever", kind=kind)
    assert not Path("diverged").exists() and not Path("diverged.json").exists()


def break_retriever() -> None:
    weights = load_file("retriever/model.safetensors")
    for tensor in weights.values():
        tensor.fill_(torch.nan)
    save_file(weights, "retriever/model.safetensors", {"format": "pt"})


def test_a_query_whose_vector_is_no_number_is_an_error(place):
    search = searcher("exact")
    break_retriever()
    about = read_json("exact/index.json")
    from stages.retrieval.identity import retriever_digest

    write_json("exact/index.json", about | {"retriever": retriever_digest("retriever")})
    assert search.search([REQUEST], 3)
    with pytest.raises(InputError, match="a vector that is not finite"):
        searcher("exact").search([REQUEST], 3)


def test_no_candidates_are_made_of_such_an_index(place, monkeypatch):
    spoil("exact", np.nan)
    turn = {"query": "N3man", "text": "x", "token_ids": [1], "passages": [], "information": ""}
    row = trajectory_row("q", turn, answer="x", em=1, f1=1.0)
    write_jsonl("trajectories.jsonl", [row])
    arguments = (
        "--iteration 1 --trajectories trajectories.jsonl --retriever retriever --index exact"
    )
    arguments += " --passages passages.jsonl --output out.jsonl --metrics out.json"
    with pytest.raises(InputError, match="exact: vector 1 is not finite"):
        candidates.main(arguments.split())
    assert not Path("out.jsonl").exists() and not Path("out.json").exists()


def test_a_server_does_not_start_over_such_vectors(place):
    spoil("exact", np.nan)
    command = [sys.executable, "-m", "stages.tools.serve", "--index", "exact", "--port", "0"]
    command += ["--passages", "passages.jsonl", "--retriever", "retriever", "--until-closed"]
    environment = {"PYTHONPATH": str(REPO), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("error: exact: vector 1 is not finite")


def test_a_server_answers_with_an_error_where_it_finds_one(place, monkeypatch):
    monkeypatch.setattr(dense, "SAMPLE", 16)
    spoil("exact", np.nan, row=333)
    with TestClient(application(searcher("exact"), 3)) as client:
        answer = client.post("/retrieve", json={"queries": ["N3man"]})
        assert answer.status_code == 500
        assert answer.json()["detail"].startswith("exact: a score is not finite")
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize("score", ["NaN", "Infinity", "1e999"])
def test_a_score_of_another_server_that_is_no_number_is_an_error(score):
    import httpx

    document = '{"id": "1", "contents": "T\\nx"}'
    body = f'{{"result": [[{{"document": {document}, "score": {score}}}]]}}'
    with pytest.raises(InputError, match="answered with a score that is not finite"):
        client._hits(httpx.Response(200, text=body), 1, "http://there")


def test_a_corpus_without_a_word_for_bm25_is_one_line(place):
    world.write_corpus(Path("empty.jsonl"), [Passage("1", "!!", "of the"), Passage("2", "?", "a")])
    arguments = "--passages empty.jsonl --bm25 --output none --metrics none.json"
    with pytest.raises(InputError, match=r"^empty\.jsonl: no passage has a word that BM25"):
        index.main(arguments.split())
    assert json.loads(Path("bm25/index.json").read_text())["finite"] is True
