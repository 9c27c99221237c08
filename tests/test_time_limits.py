"""Time limits end what hangs, in tests and in what fixtures start, and nothing that is slow."""

import os
import subprocess
import sys
import time

import psutil
import pytest
from checkout import ROOT, command

SLOW_FIXTURE = """
import time, pytest

@pytest.fixture(scope="module")
def slow():
    time.sleep(2)

def test_slow(slow):
    pass

def test_hangs():
    time.sleep(60)
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
    words += ["--rootdir", str(tmp_path), "-o", "timeout=1", str(tmp_path / "test_it.py")]
    told = command(tmp_path, sys.executable, *words, code=1, limit=300)
    assert "1 failed, 1 passed" in told and "Timeout" in told and "FAILED" in told


def test_a_command_that_hangs_ends_with_all_that_it_started(tmp_path):
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        command(tmp_path, "sh", "-c", "sleep 300 & echo $! > pid; wait", limit=2)
    assert time.monotonic() - began < 60
    child = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie":
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        pytest.fail("what the command started lives on")
