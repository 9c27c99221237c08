"""The last line of `make repro`: the committed run, another run, or what differs."""

import shutil
import subprocess

import pytest

from stages.common.records import read_yaml, write_text
from stages.provenance.lineage import LockedStage, read_lock
from stages.tools import same

SAME = "every output is byte for byte the committed run"
BEFORE = [
    LockedStage("corpus", {"stages/corpus.py": "1"}, {"data/corpus": "2"}, {"seed": 0}),
    LockedStage("encoder", {"data/corpus/passages.jsonl": "3"}, {"models/0": "4", "m": "5"}, {}),
    LockedStage("index", {"models/0": "4"}, {"data/index": "6"}, {}),
]


def with_(stage: str, **changed) -> list[LockedStage]:
    return [LockedStage(**(vars(s) | changed)) if s.stage == stage else s for s in BEFORE]


def test_nothing_differs():
    assert same.comparison_lines(same.compare_locks(BEFORE, BEFORE)) == [SAME]
    assert same.comparison_lines(same.compare_locks(BEFORE[:2], BEFORE)) == [SAME]  # of a part


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (with_("corpus", params={"seed": 1}), "'seed' is another parameter of corpus"),
        (with_("corpus", inputs={"stages/corpus.py": "x"}), "corpus had another stages/corpus.py"),
        ([*BEFORE, LockedStage("more", {}, {"x": "1"})], "the committed run has no stage more"),
    ],
)
def test_another_run_is_told_from_other_bytes(now, said):
    now[1] = LockedStage(**(vars(now[1]) | {"outputs": {"models/0": "x", "m": "5"}}))
    assert same.comparison_lines(same.compare_locks(now, BEFORE)) == [
        f"this is another run than the committed one: {said}"
    ]


def test_outputs_that_differ_are_named_and_where_it_began():
    now = with_("encoder", outputs={"models/0": "x", "m": "5"})
    now[2] = LockedStage("index", {"models/0": "x"}, {"data/index": "y"}, {})
    lines = same.comparison_lines(same.compare_locks(now, BEFORE))
    assert lines[1:4] == ["  encoder: models/0", "  index: data/index", "first in: encoder"]
    assert any("torch 2." in line for line in lines) and lines[-1].startswith("2 outputs differ: ")


def git(folder, *words):
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def test_the_lock_of_the_last_commit_is_what_is_compared_with(tmp_path, monkeypatch, capsys):
    for name in ("dvc.lock", "params.yaml"):
        shutil.copy(name, tmp_path)
    monkeypatch.chdir(tmp_path)
    same.main([])
    assert "git has none" in capsys.readouterr().out
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "run")
    same.main([])
    assert capsys.readouterr().out == f"{SAME}\n"
    params = read_yaml("params.yaml")
    threads = params["compute"]["threads"]
    text = (tmp_path / "params.yaml").read_text()
    write_text("params.yaml", text.replace(f"threads: {threads}", "threads: 7"))
    last = read_lock("dvc.lock")[0]
    [digest, *_] = last.outputs.values()
    write_text("dvc.lock", (tmp_path / "dvc.lock").read_text().replace(digest, "0" * 32))
    same.main([])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "not byte for byte the committed run:"
    if "compute.threads" in said[-1]:  # else this processor has no AVX2
        assert said[-1].endswith(f"'compute.threads' is 7, and {threads} in the committed run")
