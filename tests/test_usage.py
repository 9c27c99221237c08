"""What a stage used is logged in the same units on every system."""

import json
import resource
import sys
from types import SimpleNamespace

import pytest

from stages.plumbing import usage

GIB = 2**30
UNITS = {"linux": GIB // 1024, "darwin": GIB}  # what each system says of one GiB


@pytest.mark.parametrize("system", UNITS)
def test_peak_memory_is_in_gib_on_every_system(system, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "dvc.yaml:pairs@1")
    monkeypatch.setattr(sys, "platform", system)
    used = SimpleNamespace(ru_maxrss=UNITS[system])
    monkeypatch.setattr(resource, "getrusage", lambda who: used)
    with usage.Usage():
        pass
    row = json.loads(usage.FILE.read_text(encoding="utf-8"))
    assert row["stage"] == "pairs@1" and row["memory_gib"] == 1
