"""The model card of a retriever, written from this repo's own dvc.lock and metrics."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import retrieval_world as world
import yaml
from sentence_transformers import SentenceTransformer

from stages.encoders.folder import read_format
from stages.encoders.query_format import QueryFormat
from stages.plumbing.errors import InputError
from stages.provenance.hashes import hash_of
from stages.tools import card

ROOT = Path(__file__).parents[1]
RETRIEVER = "models/retriever/2"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """The lock and the metrics of this repo, with a tiny model in the place of R_2."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "metrics", "metrics")
    shutil.copytree(ROOT / "requirements", "requirements")
    world.tiny_retriever(
        tmp_path / RETRIEVER, QueryFormat("question_query", "query: ", "passage: ")
    )
    change_lock(lambda lock: None, ROOT / "dvc.lock")
    return tmp_path


def change_lock(change, source="dvc.lock") -> None:
    lock = yaml.safe_load(Path(source).read_text())
    for out in lock["stages"]["retriever@2"]["outs"]:
        if out["path"] == RETRIEVER:
            out["md5"] = hash_of(Path(RETRIEVER))
    change(lock["stages"])
    Path("dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))


def written(name="out") -> str:
    card.main([RETRIEVER, "--output", name])
    return Path(name, "README.md").read_text()


def test_the_card_says_what_the_files_say(checkout, capsys):
    text = written()
    assert capsys.readouterr().out == "out: the retriever, and its card in README.md\n"
    pairs = json.loads(Path("metrics/pairs/2.json").read_text())
    trajectories = json.loads(Path("metrics/trajectories/2.json").read_text())
    assert f"| training instances | {pairs['instances']} |" in text
    assert f"trajectories were labelled | {trajectories['in']} |" in text
    own = json.loads(Path("metrics/evaluate/2.json").read_text())
    for name, metrics in own["sets"].items():
        section = text.partition(f"**{name}**")[2].partition("**")[0]
        row = next(line for line in section.splitlines() if line.startswith("| Agent_2 + R_2 "))
        cells = [cell.strip() for cell in row.split("|")[2:5]]
        em = f"{100 * metrics['em']:.1f} ({100 * metrics['em_low']:.1f} to "
        assert cells[0].startswith(em) and cells[2].startswith(f"{metrics['searches']:.2f} (")
        assert "| Agent_2 + R_1 |" in section and "| base agent + R_0 |" in section
        assert "BM25" not in section, "of another agent"
    lock = yaml.safe_load(Path("dvc.lock").read_text())["stages"]
    for dependency in lock["corpus"]["deps"] + lock["retriever@2"]["deps"]:
        assert f"{dependency['md5']:<36}  {dependency['path']}" in text
    locked = lock["retriever@2"]["params"]["params.yaml"]["retriever"]
    assert f"| temperature | {locked['temperature']} |" in text
    assert "reads a query as `{question} [SEP] {query}` behind the prompt `query: `" in text


def test_the_card_says_how_the_retriever_pools(checkout):
    assert "(mean pooling, normalised)" in written()
    config = Path(RETRIEVER, "1_Pooling/config.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | {"pooling_mode": "lasttoken"}))
    change_lock(lambda lock: None)
    assert "(lasttoken pooling, normalised)" in written("other")


def test_the_front_matter_is_for_the_hub(checkout):
    from huggingface_hub import ModelCard

    matter = ModelCard(written()).data.to_dict()
    assert matter["library_name"] == "sentence-transformers"
    assert matter["pipeline_tag"] == "sentence-similarity" and "base_model" not in matter

    def from_the_hub(stages):
        encoder = stages["encoder"]["params"]["params.yaml"]["encoder"]
        encoder |= {"model": "intfloat/e5-base-v2", "revision": "abc"}

    change_lock(from_the_hub)
    text = written("other")
    assert ModelCard(text).data.base_model == "intfloat/e5-base-v2"
    assert "from R_0 (`intfloat/e5-base-v2`), revision `abc`" in text


def test_equal_runs_give_equal_cards_without_dates_or_paths(checkout):
    def from_a_folder(stages):
        stages["base"]["params"]["params.yaml"]["base"]["judge"]["model"] = "/home/me/Judge-72B"

    change_lock(from_a_folder)
    text = written()
    assert written("again") == text
    assert "| judge | `Judge-72B` |" in text
    assert str(checkout) not in text and "/home" not in text and str(ROOT) not in text
    assert not re.search(r"20\d\d-\d\d-\d\d|\d\d:\d\d:\d\d", text)


def test_the_copy_is_the_same_retriever(checkout):
    text = written()
    query_format = read_format("out")
    assert query_format == read_format(RETRIEVER)
    models = [SentenceTransformer(name, device="cpu") for name in (RETRIEVER, "out")]
    vectors = [model.encode_query(["who? [SEP] where was N1man born"]) for model in models]
    assert np.array_equal(*vectors)
    code = text.partition("```python\n")[2].partition("```")[0]
    found = {}
    exec(code.replace("path/or/name/of/this/model", "out"), found)
    assert found["scores"].shape == (1, 1)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("models/retriever/9", "is no output of a stage"),
        ("models/agent/2", "is no trained retriever"),
        ("models/retriever/0", "is no trained retriever"),
        (f"{RETRIEVER}/config.json", "is no trained retriever"),
        ("models/retriever/1", "is not here: run `dvc pull"),
    ],
)
def test_what_has_no_card_is_one_line(checkout, path, message):
    with pytest.raises(InputError, match=message):
        card.main([path, "--output", "out"])
    assert not Path("out").exists()


def test_files_of_another_run_are_refused(checkout):
    Path("metrics/evaluate/2.json").write_text("{}")
    with pytest.raises(InputError, match=r"metrics/evaluate/2\.json: is not what dvc\.lock says"):
        written()
    Path(RETRIEVER, "config.json").write_text("{}")
    with pytest.raises(InputError, match=rf"^{RETRIEVER}: is not what dvc\.lock says"):
        written()
    assert not Path("out").exists()
    Path("out").mkdir()
    with pytest.raises(InputError, match="out: is there already"):
        written()


def test_a_retriever_of_other_pairs_than_the_locks_has_no_card(checkout):
    def own_pairs(stages):
        (pairs,) = [d for d in stages["retriever@2"]["deps"] if d["path"] == "data/pairs/2.jsonl"]
        pairs["md5"] = "0" * 32

    change_lock(own_pairs)
    with pytest.raises(InputError, match=r"read another data/pairs/2\.jsonl than pairs@2 has made"):
        written()
    assert not Path("out").exists()


def test_pairs_of_a_former_run_in_the_lock_are_left_out(checkout):
    def former(stages):
        for dependency in stages["compare@agent2_r1"]["deps"]:
            if dependency["path"] == "data/questions/test":
                dependency["md5"] = "0" * 32 + ".dir"

    change_lock(former)
    Path("metrics/evaluate/agent2_r1.json").unlink()  # DVC takes no stage out of a lock
    text = written()
    assert "| Agent_2 + R_2 |" in text and "| Agent_2 + R_1 |" not in text
