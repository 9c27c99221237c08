"""From an output back to the corpus, by dvc.lock and git."""

import json
from pathlib import Path

import pytest
import yaml
from checkout import command

from stages.plumbing.errors import InputError
from stages.provenance.lineage import lineage
from stages.provenance.origin import packages
from stages.provenance.since import commit, since
from stages.tools import trace

ROOT = Path(__file__).parents[1]


def test_a_checkpoint_is_traced_to_the_corpus(monkeypatch):
    monkeypatch.chdir(ROOT)
    steps = lineage("models/retriever/2/model.safetensors")
    names = [step.stage for step in steps]
    assert names[-1] == "retriever@2" and "corpus" in names and "evaluate@2" not in names
    assert names.index("corpus") < names.index("agent@1") < names.index("retriever@1")
    made: dict[str, str] = {}
    for step in steps:  # each input that a stage made is the one that was made before it
        for path, digest in step.inputs.items():
            assert made.get(path, digest) == digest
        made |= step.outputs


def test_an_output_is_found_however_its_path_is_written(monkeypatch):
    monkeypatch.chdir(ROOT)
    wanted = lineage("models/retriever/2")
    assert lineage("./models/../models/retriever/2/") == wanted
    assert lineage(Path("models/retriever/2").absolute()) == wanted


def test_every_output_of_the_lock_can_be_traced(monkeypatch):
    monkeypatch.chdir(ROOT)
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    for name, entry in lock["stages"].items():
        assert lineage(entry["outs"][0]["path"])[-1].stage == name


def test_the_command_prints_everything(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    trace.main(["metrics/evaluate/1.json", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["packages"]["torch"] and {"commit", "rerun", "changed", "stages"} <= told.keys()
    trace.main(["models/retriever/1"])
    printed = capsys.readouterr().out
    assert "retriever@1" in printed and '"temperature"' in printed


def test_a_run_on_another_processor_is_told_from_other_code(tmp_path, monkeypatch):
    """Outputs alone differ there; what was read from outside is the commit's."""
    monkeypatch.chdir(tmp_path)
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())

    def written() -> dict:
        Path("dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
        return commit(lineage("models/retriever/1"))

    assert written() == {"commit": None, "rerun": False, "changed": []}, "no git"
    for words in ("init -q", "add dvc.lock", "commit -qm lock"):
        command(tmp_path, "git", *words.split())
    here = written()
    assert here["commit"] and since(here) == ""
    lock["stages"]["report"]["outs"][0]["md5"] = "0" * 32
    assert since(written()) == "", "the report is not behind the retriever"
    retriever = lock["stages"]["retriever@1"]
    for stage, kind in (("pairs@1", "outs"), ("retriever@1", "deps")):
        for file in lock["stages"][stage][kind]:
            if file["path"] == "data/pairs/1.jsonl":
                file["md5"] = "1" * 32
    assert since(written()).startswith("run again here: the same code, data and parameters")
    code = next(file for file in retriever["deps"] if file["path"] == "stages/contrastive")
    code["md5"] = "2" * 32
    retriever["params"]["params.yaml"]["retriever"]["temperature"] = 9
    told = written()
    assert told["changed"] == ["retriever@1: stages/contrastive", "retriever@1: retriever"]
    assert since(told) == (
        "with changes that it does not have (retriever@1: stages/contrastive and 1 other)"
    )


@pytest.mark.parametrize(
    ("lock", "message"),
    [("stages: {}", "is no output"), ("[1]", "not a lock file"), (None, "cannot be read")],
)
def test_what_cannot_be_traced_is_one_line(tmp_path, lock, message):
    if lock is not None:
        (tmp_path / "dvc.lock").write_text(lock)
    with pytest.raises(InputError, match=message):
        lineage("models/other", tmp_path / "dvc.lock")


def test_packages_that_are_not_installed_are_left_out(tmp_path):
    (tmp_path / "x.in").write_text("# comment\npytest==1.0\nno-such-package\n")
    assert set(packages(tmp_path)) == {"pytest"}
