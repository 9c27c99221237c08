"""What a full disk leaves of DVC's own files is moved aside, and nothing of the run is lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ENVIRONMENT, ROOT, command, stages_run
from dvc.lock import make_lock

PIPELINE = """
stages:
  one:
    cmd: test ! -e hold || sleep 600; touch out
    outs: [out]
  two:
    cmd: cp out more
    deps: [out]
    outs: [more]
"""
RUNNING = Path(".dvc/tmp/rwlock")


@pytest.fixture
def checkout(tmp_path):
    command(tmp_path, "git", "init", "-q")
    command(tmp_path, "dvc", "init", "-q")
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    command(tmp_path, "dvc", "repro", "-q", "one")
    command(tmp_path, "git", "add", "-A")
    command(tmp_path, "git", "commit", "-qm", "one")
    command(tmp_path, "dvc", "repro", "-q")
    return tmp_path


def mend(folder: Path, code: int = 0) -> str:
    return command(
        folder, sys.executable, "-m", "stages.tools.mend", code=code, PYTHONPATH=str(ROOT)
    )


def test_nothing_is_said_of_whole_files(checkout):
    assert (checkout / RUNNING).exists()
    assert mend(checkout) == ""


@pytest.mark.parametrize("left", [b"", b'{"wri', b"[]", b'{"write": 3}', b"\xff"])
def test_a_broken_list_of_running_stages_is_moved_aside(checkout, left):
    (checkout / RUNNING).write_bytes(left)
    command(checkout, "dvc", "repro", code=255)
    assert "moved to .dvc/tmp/rwlock.broken1" in mend(checkout)
    assert (checkout / ".dvc/tmp/rwlock.broken1").read_bytes() == left
    assert stages_run(command(checkout, "dvc", "repro")) == []


def test_an_empty_lock_comes_back_and_what_was_run_since_is_not_run_again(checkout):
    whole = (checkout / "dvc.lock").read_text()
    (checkout / "dvc.lock").write_text("")
    command(checkout, "dvc", "repro", code=255)
    assert "dvc.lock: as git has it" in mend(checkout, code=1)
    assert mend(checkout) == ""
    said = command(checkout, "dvc", "repro")
    assert stages_run(said) == [] and "is cached" in said
    assert (checkout / "dvc.lock").read_text() == whole


def test_outputs_that_dvc_could_not_record_are_kept(checkout):
    """DVC empties dvc.lock where it has no room to copy an output."""
    git = (checkout / "dvc.lock").read_text()
    command(checkout, "git", "commit", "-qam", "both")
    (checkout / "out").write_text("made anew")
    (checkout / "dvc.lock").write_text("")
    assert "`dvc commit STAGE`" in mend(checkout, code=1)
    assert (checkout / "dvc.lock").read_text() == git
    command(checkout, "dvc", "commit", "-f", "one")
    assert stages_run(command(checkout, "dvc", "repro")) == ["two"]
    assert (checkout / "more").read_text() == "made anew"


def test_nothing_is_moved_while_a_dvc_runs(checkout):
    (checkout / RUNNING).write_text("")
    with make_lock(str(checkout / ".dvc/tmp/rwlock.lock")):
        assert "a dvc runs here" in mend(checkout, code=2)
    assert (checkout / RUNNING).exists()


def test_nothing_is_moved_while_a_dvc_runs_a_stage(checkout):
    """DVC holds no lock meanwhile."""
    (checkout / "hold").touch()
    running = subprocess.Popen(
        ["dvc", "repro", "-f", "-s", "one"],
        cwd=checkout,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        for line in running.stdout:
            if line.startswith(">"):
                break
        (checkout / RUNNING).write_text("")
        assert "a dvc runs here" in mend(checkout, code=2)
        assert (checkout / RUNNING).exists()
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert "moved to" in mend(checkout)
