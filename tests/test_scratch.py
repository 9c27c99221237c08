"""Scratch folders: kept after a failure, gone after success, one for each fingerprint."""

import pytest

from stages import scratch as module
from stages.params import Params
from stages.scratch import Scratch, fingerprint
from stages.seeds import seed_of


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROOT", tmp_path / "scratch")
    return tmp_path / "scratch"


def test_a_finished_shard_is_not_computed_again(root):
    with pytest.raises(RuntimeError), Scratch("s", "f") as scratch:
        assert scratch.shard("a", lambda: [{"x": 1}]) == [{"x": 1}]
        raise RuntimeError
    with Scratch("s", "f") as scratch:
        assert scratch.shard("a", lambda: pytest.fail("computed twice")) == [{"x": 1}]
    assert list(root.iterdir()) == []


def test_another_fingerprint_sees_nothing():
    with pytest.raises(RuntimeError), Scratch("s", "old") as scratch:
        scratch.shard("a", lambda: [{"x": 1}])
        raise RuntimeError
    with Scratch("s", "new") as scratch:
        assert scratch.shard("a", lambda: [{"x": 2}]) == [{"x": 2}]


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
