"""The environment is pinned: each package once, exactly, and here as it is pinned."""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from stages.gpu_checks.card import cuda_majors, has_driver

FOLDER = Path(__file__).parents[1] / "requirements"
PINNED = sorted(FOLDER.glob("*.txt"))
ASKED = sorted(FOLDER.glob("*.in"))
INSTALLED_BY = {"pynvml": "nvidia-ml-py"}  # of a list that is not this environment's
EXACT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[a-z0-9_,-]+\])?==([0-9][0-9A-Za-z.!]*)$")


def lines(path: Path) -> list[str]:
    rows = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [row for row in rows if row and not row.startswith("#")]


def name_of(package: str) -> str:
    """A package's name in the one form that compares."""
    return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", package).group()).lower()


def pins(path: Path) -> dict[str, str]:
    return {name_of(line): EXACT.match(line).group(3) for line in lines(path)}


def test_the_files_are_there():
    assert {path.name for path in PINNED} >= {"laptop.txt", "gpu.txt"} and len(ASKED) == 2


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.name)
def test_every_package_has_one_exact_version(path):
    """No range, no address, no marker, no option, and no name twice."""
    assert [line for line in lines(path) if not EXACT.match(line)] == []
    assert len(pins(path)) == len(lines(path)) > 0


@pytest.mark.parametrize("path", ASKED, ids=lambda path: path.name)
def test_what_is_asked_for_is_pinned(path):
    pinned = pins(path.with_suffix(".txt"))
    for line in lines(path):
        assert name_of(line) in pinned, line
        if "==" in line:
            assert pinned[name_of(line)] == line.partition("==")[2], line


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.name)
def test_a_list_brings_one_cuda(path):
    """With two, a library of the one finds compilers and BLAS of the other, and does not load."""
    named = pins(path)
    assert cuda_majors(named) <= {"13"}


def test_two_cudas_are_seen():
    assert cuda_majors({"nvidia-cublas-cu12": "12.9.3.13", "cuda-toolkit": "13.0.2"}) == {
        "12",
        "13",
    }
    assert cuda_majors({"faiss-gpu-cu12": "1.0", "numpy": "2.3.5"}) == {"12"}
    thirteen = {"nvidia-nvjitlink": "13.0.88", "nvidia-cusparse": "12.6.3.3"}
    assert cuda_majors(thirteen) == {"13"}, "cuSPARSE counts for itself"
    for name in ("nvidia-cuda-nvrtc", "nvidia_cuda_runtime", "nvidia-cublas"):
        assert cuda_majors({name: "12.9.86", **thirteen}) == {"12", "13"}, "without a suffix"


@pytest.mark.resolve
@pytest.mark.timeout(1800)
def test_pip_would_install_the_list_and_nothing_else(tmp_path, request):
    """`pytest -n 0 -m resolve`: reads what packages ask for, and downloads none; minutes."""
    if "resolve" not in request.config.getoption("-m"):
        pytest.skip("asks the package index: `pytest -n 0 -m resolve`")
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"]
    listed = ["--report", str(report), "--requirement", str(FOLDER / "gpu.txt")]
    subprocess.run(command + listed, check=True)
    rows = [row["metadata"] for row in json.loads(report.read_text())["install"]]
    assert {name_of(row["name"]): row["version"] for row in rows} == pins(FOLDER / "gpu.txt")


@pytest.mark.skipif(
    importlib.util.find_spec("vllm.cumem_allocator") is None
    if importlib.util.find_spec("vllm")
    else True,
    reason="requirements/gpu.txt is not installed",
)
def test_vllms_allocator_loads_between_torch_and_faiss(tmp_path):
    """In one process, in this order: verl puts vLLM to sleep by it, and faiss comes last. Where no
    driver is, an empty library has its name, and functions are looked up when they are called."""
    code = "import torch, vllm.cumem_allocator, faiss; faiss.StandardGpuResources"
    environment = dict(os.environ)
    if not has_driver():
        if shutil.which("gcc") is None:
            pytest.skip("neither NVIDIA's driver nor gcc is here")
        empty = ["gcc", "-shared", "-o", str(tmp_path / "libcuda.so.1"), "-x", "c", "/dev/null"]
        subprocess.run(empty, check=True)
        environment["LD_LIBRARY_PATH"] = str(tmp_path)
        code = f"import os, sys; sys.setdlopenflags(os.RTLD_LAZY); {code}"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_files_that_are_installed_together_agree():
    laptop = pins(FOLDER / "laptop.txt")
    for path in PINNED:
        if path.name not in ("laptop.txt", "gpu.txt"):
            both = {name: v for name, v in pins(path).items() if name in laptop}
            assert both == {name: laptop[name] for name in both}, path.name


def test_this_environment_is_the_pinned_one():
    """Local versions (`2.13.0+cpu`) are builds of the same version; more may be installed."""
    here = {name_of(d.name): d.version.partition("+")[0] for d in metadata.distributions()}
    pinned = next(found for found in map(pins, PINNED) if found.get("torch") == here["torch"])
    assert {name: here.get(name) for name in pinned} == pinned


def test_every_import_of_the_repo_is_pinned():
    """In one of the files; what is imported only where it is there has a file of its own."""
    pinned = {name for path in PINNED for name in pins(path)}
    distributions = metadata.packages_distributions()
    for module in sorted(imported()):
        listed = [INSTALLED_BY.get(module, module)]
        names = {name_of(name) for name in distributions.get(module, listed)}
        assert names & pinned, module


def imported() -> set[str]:
    """The top modules that stages/ imports, beside Python's own."""
    found = set()
    for path in (FOLDER.parent / "stages").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"stages"}
