"""The checks of the GPU path, as far as a machine without one can go."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from stages.gpu_checks import generation, ppo, search
from stages.plumbing.errors import InputError
from stages.tools import check_gpu

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", check_gpu.CHECKS)
def test_a_check_goes_up_to_cuda(name):
    """In a process without a GPU in sight, and says so; nothing is written."""
    command = [
        sys.executable,
        "-m",
        "stages.tools.check_gpu",
        name,
        "--output",
        "/nowhere/gpu.json",
    ]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "up to CUDA" in " ".join(done.stdout.split()) and name in done.stdout


def test_a_check_that_fails_says_why_and_what_comes_next(monkeypatch, capsys):
    """A row of a process that ended with an error, as the table shows it."""
    row = {"seconds": 1, "error": "it broke", "metrics": {}}
    monkeypatch.setattr(check_gpu, "_row", lambda name, left: row)
    with pytest.raises(SystemExit):
        check_gpu.main(["card"])
    said = capsys.readouterr().out
    assert "card: it broke" in said and "python -m stages.tools.check_gpu card" in said


def test_all_checks_together_have_thirty_minutes(monkeypatch, capsys):
    """Each gets ten of them at most, and at most what is left; the last ones here get none."""
    given, clock = [], [0.0]

    def runs(command, limit, errors):
        given.append(limit)
        clock[0] += limit
        return "it broke", True

    monkeypatch.setattr(check_gpu, "_run", runs)
    monkeypatch.setattr(check_gpu.time, "monotonic", lambda: clock[0])
    clock[0] = 100.0
    with pytest.raises(SystemExit):
        check_gpu.main([])
    assert given == [600, 600, 600]
    said = capsys.readouterr().out
    assert "ppo: no time was left of 1800 seconds" in said
    assert "scale: no time was left of 1800 seconds" in said
    for file in ("Makefile", "docs/scale.md", "stages/tools/check_gpu.py"):
        assert "thirty minutes" in (ROOT / file).read_text(encoding="utf-8"), file


def test_a_check_over_its_time_ends_with_all_that_it_started(tmp_path, monkeypatch):
    """One that does not listen, too."""
    monkeypatch.setattr(check_gpu, "GRACE", 1.0)
    words = f"trap '' TERM; echo before >&2; sleep 600 & echo $! > {tmp_path}/pid; wait"
    told, failed = check_gpu._run(["sh", "-c", words], 2, tmp_path / "errors")
    said = ["before", "took over 2 seconds, all that was left of 1800"]
    assert failed and told.splitlines() == said
    with suppress(psutil.NoSuchProcess):
        assert psutil.Process(int((tmp_path / "pid").read_text())).status() == "zombie"


def test_a_device_that_finds_other_passages_fails_the_check():
    found = [(np.array([1, 2]), np.array([0.5, 0.4]))] * 2
    other = [found[0], (np.array([2, 1]), np.array([0.5, 0.4]))]
    search._same(found, found, "exact")
    with pytest.raises(InputError, match="exact differs from the processor's in 1 of 2 queries"):
        search._same(other, found, "exact")


def test_a_card_that_stays_full_fails_the_check(monkeypatch):
    monkeypatch.setattr(ppo, "PATIENCE", 0.0)
    monkeypatch.setattr(ppo, "used", lambda: int(3e9))
    with pytest.raises(InputError, match="processes stay on the card: `nvidia-smi`"):
        ppo._empty(before=0)
    ppo._empty(before=int(2.5e9))


# GB of a card while verl trains: vLLM starts, sleeps, writes, sleeps, writes, and all ends.
SLEEPS = [0, 1, 12, 32, 4, 5, 3, 30, 32, 6, 31, 0]


@pytest.mark.parametrize(
    ("held", "least"),
    [
        (SLEEPS, 3),
        ([10, 9, 4, 9], 4),
        ([0, 5, 32, 15.9, 26], 15.9),
        ([0, 5, 32, 32, 31, 32, 0], None),  # it never sleeps
        ([0, 5, 32, 16, 32, 0], None),  # not well below
        ([0, 5, 32, 3, 25, 3, 0], None),  # it does not wake
        ([0, 0], None),
        ([], None),
    ],
)
def test_vllm_is_seen_to_sleep_and_to_wake(held, least):
    samples = [round(each * 1e9) for each in held]
    if least is None:
        with pytest.raises(InputError, match="vLLM's server does not sleep: the card never held"):
            ppo.slept(samples)
        return
    assert ppo.slept(samples) == {"awake_gb": max(held), "asleep_gb": least}


def test_a_training_is_looked_at_while_it_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(ppo, "EVERY", 0.05)
    looks = iter(range(10_000))
    found = ppo._stage(tmp_path, ["-c", "import time; time.sleep(1)"], lambda: next(looks))
    assert found == list(range(len(found))) and 3 < len(found) < 30
    with pytest.raises(InputError, match=r"stages\.agent fails in"):
        ppo._stage(tmp_path, ["-c", "raise SystemExit(1)"])
    monkeypatch.setattr(ppo, "LIMIT", 0.2)
    with pytest.raises(InputError, match=r"stages\.agent takes over 0 seconds"):
        ppo._stage(tmp_path, ["-c", "import time; time.sleep(600)"])


def test_figures_of_generation_have_ratios(tmp_path, monkeypatch):
    """Of the seconds with batch invariance to those without, by size of batch."""
    seconds = {False: [2.0, 5.0], True: [3.0, 6.0]}
    monkeypatch.setattr(generation, "write_qwen", lambda folder, *rest, **more: folder)
    told = {"texts": [[[1]], [[1]]], "engine": "vllm"}
    monkeypatch.setattr(
        generation,
        "_in_a_process",
        lambda model, settings, output: told | {"seconds": seconds[settings["invariant"]]},
    )
    assert generation.check_generation(tmp_path, True)["invariant_over_usual"] == [1.5, 1.2]


def test_figures_of_search_have_ratios(tmp_path, monkeypatch):
    """Of the processor's seconds to the device's."""
    seconds = iter([9, 3, 4.5, 1, 2])
    monkeypatch.setattr(search, "QUERIES", 16)
    monkeypatch.setattr(
        search, "_timed", lambda index, queries: (index.search(queries, search.K), next(seconds))
    )
    monkeypatch.chdir(ROOT)
    found = search.check_search(tmp_path, False)
    ratios = "processor_over_held", "processor_over_streamed", "ivfpq_processor_over_device"
    assert [found[name] for name in ratios] == [3, 2, 2]
    assert search._ratio(1.0, 0.0) is None
