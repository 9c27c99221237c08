"""The environment of portable sums: who sets it, when, and that this processor gives kept bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import portable_stages
import pytest
from checkout import ROOT

from stages.common import portable
from stages.params import Compute
from stages.plumbing.errors import InputError

here = pytest.mark.skipif(not portable.possible(), reason="no x86-64 processor with AVX2")
CLEAN = {name: value for name, value in os.environ.items() if name not in portable.VARIABLES}
SHOW = "import os, json, stages; print(json.dumps(dict(os.environ)))"


def environment_of(folder: Path, code: str = SHOW, **variables: str) -> dict:
    """What a process of its own has after `import stages`, of VARIABLES."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=CLEAN | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    return {name: found[name] for name in portable.VARIABLES if name in found}


@pytest.fixture
def compute(tmp_path):
    def write(text: str) -> Path:
        (tmp_path / "params.yaml").write_text(text)
        return tmp_path

    return write


@here
@pytest.mark.parametrize("text", ["compute: {}", "compute: {device: cpu, portable: true}", "a: ["])
def test_it_is_set_whatever_the_surroundings_say(compute, text):
    around = {"MKL_CBWR": "AVX512", "ATEN_CPU_CAPABILITY": "avx512"}
    assert environment_of(compute(text), **around) == portable.VARIABLES


@pytest.mark.parametrize("text", ["compute: {device: cuda}", "compute: {portable: false}"])
def test_it_is_not_where_the_parameters_say_so(compute, text):
    around = {"OPENBLAS_CORETYPE": "Zen", "MKL_CBWR": portable.VARIABLES["MKL_CBWR"]}
    assert environment_of(compute(text), **around) == {"OPENBLAS_CORETYPE": "Zen"}


def test_a_worker_in_another_folder_keeps_what_it_was_given(tmp_path):
    assert environment_of(tmp_path, MKL_CBWR="COMPATIBLE") == {"MKL_CBWR": "COMPATIBLE"}
    assert environment_of(tmp_path) == {}


def test_it_comes_too_late_after_numpy(compute):
    assert environment_of(compute("compute: {}"), f"import numpy; {SHOW}") == {}


@here
def test_a_process_without_it_is_refused_unless_told_to_go_on(monkeypatch):
    import torch

    assert portable.is_on(), "tests/conftest.py sets it"
    portable.start(Compute(threads=1))
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    assert not portable.is_on()
    with pytest.raises(InputError, match=r"MKL_CBWR is 'AVX2', not 'COMPATIBLE'.*compute.portable"):
        portable.start(Compute(threads=1))
    portable.start(Compute(threads=2, portable=False))
    assert torch.get_num_threads() == 2
    portable.start(Compute(threads=1, device="cuda"))
    assert torch.get_num_threads() == 1


@here
@pytest.mark.parametrize("surroundings", [{}, {"OMP_NUM_THREADS": "1", "MKL_CBWR": "AVX512"}])
def test_this_processor_gives_the_kept_bytes(surroundings):
    """Of each of the ten operations; of the stages: test_pipeline.py, and make test-portable."""
    done = subprocess.run(
        [sys.executable, "-m", "portable_operations"],
        cwd=ROOT,
        env=CLEAN | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"} | surroundings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    kept = json.loads(portable_stages.KEPT.read_text())
    assert json.loads(done.stdout) == kept["operations"]
