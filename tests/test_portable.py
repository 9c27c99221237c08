"""The environment of portable sums: who sets it, when, and that this processor gives kept bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import portable_stages
import pytest
from checkout import ROOT
from kept_bytes import kept_here

from stages.common import portable
from stages.composing.compose import compose
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
    portable.start_computing(Compute(threads=1))
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    assert not portable.is_on()
    with pytest.raises(InputError, match=r"MKL_CBWR is 'AVX2', not 'COMPATIBLE'.*compute.portable"):
        portable.start_computing(Compute(threads=1))
    portable.start_computing(Compute(threads=2, portable=False))
    assert torch.get_num_threads() == 2
    portable.start_computing(Compute(threads=1, device="cuda"))
    assert torch.get_num_threads() == 1


def output_of(folder: Path, *words: str, **variables: str) -> str:
    """What a module of the tests prints, in a process whose surroundings are `variables`."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=CLEAN | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"} | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def kept():
    return json.loads(portable_stages.KEPT.read_text())


@kept_here
def test_this_processor_gives_the_kept_bytes_of_ten_operations(kept):
    """Of the stages: test_pipeline.py, and make test-portable."""
    assert json.loads(output_of(ROOT, "portable_operations")) == kept["operations"]


@kept_here
def test_base_gives_the_kept_bytes_at_its_smallest_whatever_surrounds_it(kept, tmp_path):
    """They were made without any of these variables around."""
    compose(tmp_path / "params.yaml", portable_stages.TINY)
    (tmp_path / "plan.json").write_text(json.dumps([portable_stages.BASE]))
    output_of(
        tmp_path, "portable_stages", "--run", "plan.json", OMP_NUM_THREADS="1", MKL_CBWR="AVX512"
    )
    found = json.loads((tmp_path / portable_stages.FOUND).read_text())
    assert len(found) == 3
    assert found == {name: kept["stages"][name] for name in found}
