"""What a stage used is logged in the same units on every system."""

import json
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import psutil
import pytest

from stages.plumbing import sampling, usage

ROOT = Path(__file__).parents[1]

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


class Cards(ModuleType):
    """What NVML says of two cards, in the place of its package."""

    NVMLError = type("NVMLError", (Exception,), {})

    def __init__(self):
        super().__init__("pynvml")
        self.held, self.looks, self.answers = [3 * GIB, 0], 0, True

    def nvmlInit(self):
        if not self.answers:
            raise self.NVMLError("no driver")

    def nvmlDeviceGetCount(self):
        return len(self.held)

    def nvmlDeviceGetHandleByIndex(self, number):
        if number >= len(self.held):
            raise self.NVMLError("no such card")
        return number

    def nvmlDeviceGetHandleByUUID(self, name):
        return {"GPU-b": 1}[name]

    def nvmlDeviceGetMemoryInfo(self, card):
        self.looks += 1
        return SimpleNamespace(used=self.held[card])

    def see(self, *held: int) -> None:
        """Hold so much, and be looked at."""
        self.held[:] = held
        seen = self.looks
        while self.looks < seen + 2 * len(held):  # the look that was under way, and a whole one
            time.sleep(0.01)


@pytest.fixture
def cards(tmp_path, monkeypatch):
    """In a folder whose stage runs on `cuda`."""
    found = Cards()
    monkeypatch.setitem(sys.modules, "pynvml", found)
    monkeypatch.setattr(sampling, "PERIOD", 0.01)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("DVC_STAGE", "dvc.yaml:agent@1")
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("compute: {device: cuda}\n")
    return found


def taken(work=lambda: None) -> dict:
    with usage.Usage():
        work()
    return json.loads(usage.FILE.read_text(encoding="utf-8").splitlines()[-1])


def test_the_peak_of_a_card_is_what_any_process_put_on_it(cards):
    """Above what it held before the stage: 4 GiB on the one, 5 on the other."""

    def work():
        cards.see(3 * GIB, 0)
        cards.see(7 * GIB, 1 * GIB)
        cards.see(3 * GIB, 5 * GIB)
        cards.see(3 * GIB, 0)

    assert taken(work)["gpu_memory_gib"] == 5
    assert not any("_run" in each.name for each in threading.enumerate()), "the thread has ended"


@pytest.mark.parametrize(("visible", "peak"), [("0", 4), ("GPU-b", 5), ("0, 1", 5), ("", None)])
def test_only_cards_in_sight_are_looked_at(cards, monkeypatch, visible, peak):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    def work():
        if visible:
            cards.see(3 * GIB, 0)
            cards.see(7 * GIB, 5 * GIB)

    assert taken(work)["gpu_memory_gib"] == peak


@pytest.mark.parametrize("visible", [None, "7"])
def test_a_card_that_does_not_answer_costs_nothing(cards, monkeypatch, visible):
    """Without a driver, or one that is not there: the stage's line has no figure of a card."""
    cards.answers = visible is not None
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert taken()["gpu_memory_gib"] is None


def test_memory_of_all_processes_is_summed(cards, monkeypatch):
    """On a card the engine is a child, whose memory the parent's peak does not show."""
    monkeypatch.setattr(usage, "_peak_kib", lambda: 0)
    held = "import time; kept = b'1' * 300_000_000; print(flush=True); time.sleep(600)"

    def work():
        command = [sys.executable, "-c", held]
        children = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
        for child in children:
            child.stdout.readline()
        started.extend(children)  # the end of the stage is a look

    started = []
    own = psutil.Process().memory_info()
    try:
        row = taken(work)
    finally:
        for child in started:
            child.kill()
            child.wait()
    assert row["memory_gib"] * GIB > own.rss - own.shared + 550_000_000


# Starts a stage where NVML's package is there, or where it is missing.
STARTS = """
import importlib.util, sys, threading
if sys.argv[1] == "cpu":
    sys.modules["pynvml"] = type(sys)("pynvml")
else:
    found = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *rest: None if name == "pynvml" else found(name, *rest)
from stages.plumbing.usage import Usage
with Usage():
    assert threading.active_count() == 1, threading.enumerate()
    assert not {"psutil", "stages.plumbing.sampling"} & set(sys.modules)
"""


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_stage_starts_no_thread_without_a_card_or_the_package(tmp_path, device):
    (tmp_path / "params.yaml").write_text(f"compute: {{device: {device}}}\n")
    environment = {"PYTHONPATH": str(ROOT), "DVC_STAGE": "index-0"}
    command = [sys.executable, "-c", STARTS, device]
    subprocess.run(command, cwd=tmp_path, check=True, env=environment)
