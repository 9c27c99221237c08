"""Scratch folders: kept after a failure, gone after success, one for each fingerprint."""

import os
import shutil
from pathlib import Path

import pytest

from stages.common.seeds import seed_of
from stages.params import load_params
from stages.plumbing.errors import InputError
from stages.running import dependencies
from stages.running import scratch as module
from stages.running.scratch import Scratch, fingerprint
from stages.tools import clean

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROOT", tmp_path / "scratch")
    return tmp_path / "scratch"


def test_a_finished_shard_is_kept_after_a_failure_and_gone_after_success(root):
    with pytest.raises(RuntimeError), Scratch("s", "f") as scratch:
        assert not scratch.has("a")
        scratch.save("a", [{"x": 1}])
        raise RuntimeError
    with Scratch("s", "f") as scratch:
        assert scratch.has("a") and scratch.rows("a") == [{"x": 1}]
    assert list(root.iterdir()) == []


def test_a_shard_is_saved_without_a_look_at_those_saved_before(monkeypatch):
    """Else 100,000 of them take hours."""
    looked, look = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looked.append(str(path)) or look(path))
    with Scratch("s", "f") as scratch:
        for name in "abc":
            scratch.save(name, [{"name": name}])
        assert looked and str(scratch.path) not in looked
        assert [scratch.rows(name) for name in "abc"] == [[{"name": name}] for name in "abc"]
        assert not list((scratch.path / "saving").iterdir())


def test_another_fingerprint_sees_nothing():
    with pytest.raises(RuntimeError), Scratch("s", "old") as scratch:
        scratch.save("a", [{"x": 1}])
        raise RuntimeError
    with Scratch("s", "new") as scratch:
        assert not scratch.has("a")


def test_fingerprint_follows_inputs_and_the_stages_own_params_and_code(tmp_path, monkeypatch):
    file = tmp_path / "input"
    file.write_text("one")
    params = load_params(ROOT / "params.yaml")
    first = fingerprint("agent@1", params, file)
    assert fingerprint("agent@1", params, file) == first
    assert fingerprint("agent@2", params, file) != first
    params.evaluate.recall_at += [50]  # of another stage
    assert fingerprint("agent@1", params, file) == first
    params.agent.clip += 0.1
    assert fingerprint("agent@1", params, file) != first
    params.agent.clip -= 0.1
    file.write_text("two")
    assert fingerprint("agent@1", params, file) != first


def edited(path: str, tmp_path, monkeypatch, stage: str) -> bool:
    """Whether a comment in the file `path` changes the fingerprint of `stage`."""
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "stages", copy / "stages", dirs_exist_ok=True)
    shutil.copy(ROOT / "dvc.yaml", copy)
    params = load_params(ROOT / "params.yaml")
    monkeypatch.setattr(dependencies, "ROOT", copy)
    before = fingerprint(stage, params)
    (copy / path).write_text((copy / path).read_text() + "\n# a comment\n")
    return fingerprint(stage, params) != before


@pytest.mark.parametrize(
    ("path", "stage", "changes"),
    [
        ("stages/reporting/page.py", "agent@1", False),
        ("stages/contrastive/loss.py", "agent@1", False),
        ("stages/contrastive/loss.py", "retriever@1", True),
        ("stages/common/seeds.py", "agent@1", True),
        ("stages/loop_ppo/losses.py", "agent@1", True),
        ("stages/verl_ppo/config.py", "agent@1", False),
        ("stages/plumbing/progress.py", "agent@1", False),
    ],
)
def test_an_edit_changes_the_fingerprints_of_what_depends_on_it(
    tmp_path, monkeypatch, path, stage, changes
):
    assert edited(path, tmp_path, monkeypatch, stage) is changes


def test_seeds_depend_on_names_alone():
    assert seed_of(0, "pairs", 1) == seed_of(0, "pairs", "1")
    assert len({seed_of(0, "a"), seed_of(1, "a"), seed_of(0, "b"), seed_of(0, "a", "")}) == 4
    assert 0 <= seed_of(0, "a") < 2**63


def test_leftovers_are_listed_and_deleted_but_not_those_in_use(root, capsys):
    with pytest.raises(RuntimeError), Scratch("old", "f") as scratch:
        scratch.save("a", [{"x": "y" * 1000}])
        raise RuntimeError
    with Scratch("now", "f"):
        clean.main([])
        listed = capsys.readouterr().out.splitlines()
        assert sorted(line.split()[0] for line in listed) == ["interrupted", "running"]
        clean.main(["--delete", "--days", "1"])
        assert (root / "old-f").exists()
        clean.main(["--delete"])
        assert not (root / "old-f").exists() and (root / "now-f").exists()


def test_one_process_at_a_time():
    with Scratch("s", "f"), pytest.raises(InputError, match="another process"), Scratch("s", "f"):
        pass
