"""Time limits end what hangs, in tests and in what fixtures start, and nothing that is slow."""

import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
from checkout import ROOT, command

SLOW_FIXTURE = """
import time, pytest

@pytest.fixture(scope="module")
def slow():
    time.sleep(4)

def test_slow(slow):
    pass

def test_hangs():
    time.sleep(7200)
"""


def test_a_slow_fixture_is_waited_for_and_a_test_that_hangs_is_ended(tmp_path):
    (tmp_path / "test_it.py").write_text(SLOW_FIXTURE)
    words = [
        "-m",
        "pytest",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "-c",
        str(ROOT / "pyproject.toml"),
    ]
    words += ["--rootdir", str(tmp_path), "-o", "timeout=3", str(tmp_path / "test_it.py")]
    told = command(tmp_path, sys.executable, *words, code=1)
    assert "1 failed, 1 passed" in told and "Timeout" in told and "FAILED" in told


def test_a_command_that_hangs_ends_with_all_that_it_started(tmp_path):
    with pytest.raises(subprocess.TimeoutExpired):
        command(tmp_path, "sh", "-c", "sleep 7200 & echo $! > pid; wait", limit=5)
    child = int((tmp_path / "pid").read_text())
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(child).status() != "zombie":
            time.sleep(0.1)
