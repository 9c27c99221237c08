"""Which list of packages `make` installs: an environment keeps to the one that it was made of."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def make(tmp_path):
    """Runs make in a folder whose environment was made of `installed`; says what it would do."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")

    def run(target: str, installed: str | None = None, *options: str) -> tuple[int, str]:
        shutil.rmtree(tmp_path / ".venv", ignore_errors=True)
        if installed is not None:
            (tmp_path / ".venv").mkdir()
            (tmp_path / ".venv/.installed").write_text(installed)
        command = ["make", *options, target]
        # What the make that runs the tests hands down would show in the answers.
        outside = {k: v for k, v in os.environ.items() if k not in ("MAKELEVEL", "MAKEFLAGS")}
        done = subprocess.run(command, cwd=tmp_path, env=outside, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_new_environment_is_made_of_the_list_that_is_asked_for(make):
    assert "--requirement requirements/laptop.txt" in make("install", None, "-n")[1]
    assert "--requirement requirements/gpu.txt" in make("install-gpu", None, "-n")[1]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere pip's own is the CPU build")
def test_on_linux_the_cpu_build_comes_from_the_index_that_is_named(make, tmp_path):
    """The first pip here finds nothing, so that the second takes its own."""
    pip = tmp_path / ".venv/bin/pip"
    asked = tmp_path / "asked"

    def install(*options: str) -> list[str]:
        asked.unlink(missing_ok=True)
        code, said = make("install", None, f"PYTHON={tmp_path}/python", *options)
        assert code == 0, said
        return asked.read_text().splitlines()

    made = f"mkdir -p {pip.parent}; cp {tmp_path}/pip {pip}; cp {tmp_path}/pip {pip.parent}/python"
    for name, text in {
        "python": made,
        "pip": f'echo "$@" >> {asked}; test "$5" != --index-url',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    [plain] = install()
    first, second = install("TORCH_INDEX=http://index")
    torch = next(
        line
        for line in (ROOT / "requirements/laptop.txt").read_text().splitlines()
        if line.startswith("torch==")
    )
    assert first.endswith(f"--no-deps --index-url http://index {torch}") and second == plain
    assert install("TORCH_INDEX=http://index", "REQUIREMENTS=requirements/gpu.txt") == [
        plain.replace("laptop", "gpu")
    ]


def test_an_old_environment_keeps_its_list(make):
    for name in ("laptop", "gpu"):
        assert "pip install" not in make("install", f"requirements/{name}.txt\n", "-n")[1]
        newer = make(
            "install", f"requirements/{name}.txt\n", "-n", "-W", f"requirements/{name}.txt"
        )
        assert f"--requirement requirements/{name}.txt" in newer[1]


def test_gpu_packages_do_not_go_on_top_of_the_laptops(make):
    code, said = make("install-gpu", "requirements/laptop.txt\n")
    assert code == 2 and ".venv holds the laptop's packages: remove it first" in said
    assert make("install-gpu", "requirements/gpu.txt\n")[0] == 0


def test_without_a_python_make_says_what_to_install(make, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHON", raising=False)
    for name in ("make", "sh", "test", "cat"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    code, said = make("install")
    assert code == 2 and "Python 3.11 or 3.12 is needed, and neither runs here: install one" in said
    assert "python3.12 -m venv" in make("install", None, "-n", "PYTHON=python3.12")[1]
    only = tmp_path / "bin/python3.12"
    only.write_text("#!/bin/sh\necho python3.12\n")
    only.chmod(0o755)
    assert "python3.12 -m venv" in make("install", None, "-n")[1]


def test_runs_are_compared_by_name_or_all(make):
    installed = "requirements/laptop.txt\n"
    assert "-m stages.tools.compare" in make("compare", installed, "-n")[1]
    assert "stages.tools.compare main one" in make("compare", installed, "-n", "RUNS=main one")[1]


def test_make_alone_says_what_there_is(make):
    code, said = make("--warn-undefined-variables")
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[
        1
    ].split()
    listed = [line.split()[1] for line in said.splitlines()]
    assert code == 0 and sorted(listed) == sorted(set(targets) - {"help"})
    assert all(len(line.split()) > 3 and len(line) <= 100 for line in said.splitlines())
