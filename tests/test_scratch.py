"""Scratch folders: kept after a failure, gone after success, one for each fingerprint."""

import pytest

from stages.common.seeds import seed_of
from stages.params import Params
from stages.plumbing.errors import InputError
from stages.running import scratch as module
from stages.running.scratch import Scratch, fingerprint
from stages.tools import clean


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


def test_another_fingerprint_sees_nothing():
    with pytest.raises(RuntimeError), Scratch("s", "old") as scratch:
        scratch.save("a", [{"x": 1}])
        raise RuntimeError
    with Scratch("s", "new") as scratch:
        assert not scratch.has("a")


def test_fingerprint_follows_params_and_bytes(tmp_path):
    file = tmp_path / "input"
    file.write_text("one")
    first = fingerprint(Params(), file)
    assert fingerprint(Params(), file) == first
    assert fingerprint(Params(seed=1), file) != first
    file.write_text("two")
    assert fingerprint(Params(), file) != first


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
