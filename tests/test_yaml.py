"""What is no YAML is one InputError for every reader, also what PyYAML lets through unmarked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stages.common import portable
from stages.common.records import read_yaml
from stages.judge.prompts import Prompt
from stages.params import load_params
from stages.plumbing.errors import InputError
from stages.plumbing.usage import params_fingerprint
from stages.plumbing.yaml_text import parse_yaml
from stages.provenance.lineage import read_lock
from stages.rollout.protocol import read_protocol
from stages.sources.description import read_description
from stages.studies.plan import read_study
from stages.tracking import identity

ROOT = Path(__file__).parents[1]
FAULTS = {
    "!!bool yess": "'yess' is no bool",
    '!!bool ""': "'' is no bool",
    '!!int ""': "'' is no int",
    '!!float "_"': "'_' is no float",
    "!!timestamp now": "'now' is no timestamp",
    "2001-99-99": "'2001-99-99' is no timestamp",
    "9" * 5000: "is no int",
    "[" * 5000: "",
    "{a: " * 100_000: "",  # beyond the stack of the parser in C
    '"\x01"': "characters are not allowed",
    "*one": "found undefined alias",
}
READERS = [
    read_yaml,
    load_params,
    Prompt.load,
    read_protocol,
    read_description,
    read_lock,
    read_study,
]


@pytest.fixture(params=FAULTS, ids=lambda fault: fault[:12])
def faulty(request, tmp_path) -> Path:
    file = tmp_path / "file.yaml"
    file.write_text(f"first: 1\nsecond: {request.param}\n")
    return file


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_a_fault_is_one_line(faulty, read, request):
    with pytest.raises(InputError) as error:
        read(faulty)
    said = str(error.value)
    told = FAULTS[request.node.callspec.params["faulty"]]
    assert said.startswith(str(faulty)) and "not valid YAML (" in said and told in said
    assert len(said.splitlines()) == 1 and len(said) < 300
    if " is no " in told:
        assert said.startswith(f"{faulty}:2: ")


def test_who_can_do_without_says_nothing(faulty):
    assert params_fingerprint(faulty) is None
    assert identity._lock(faulty) is None
    assert portable._wanted(faulty) == portable.possible()


def test_a_stage_says_one_line(faulty):
    faulty.rename(faulty.with_name("params.yaml"))
    command = [sys.executable, "-m", "stages.health", "--iteration", "0", "--metrics-folder", "m"]
    command += ["--output", "o", "--metrics", "n"]
    done = subprocess.run(
        command, cwd=faulty.parent, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("error: params.yaml")
    assert len(done.stderr.splitlines()) == 1


def test_both_parsers_give_the_same_of_all_that_git_keeps():
    files = [ROOT / "dvc.yaml", ROOT / "dvc.lock", ROOT / "params.yaml"]
    for file in [*files, *(ROOT / "conf").rglob("*.yaml"), *(ROOT / "stages").rglob("*.yaml")]:
        text = file.read_text(encoding="utf-8")
        fast, slow = (parse_yaml(text, file, fast=made) for made in (True, False))
        assert json.dumps(fast, default=str) == json.dumps(slow, default=str)
