"""Every command of the documents that composes parameters composes ones that a run accepts."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from checkout import command, copy_of_checkout, stages_run

from stages.composing.compose import compose, compose_unchecked
from stages.params import CorrectnessMode, load_params
from stages.plumbing.errors import InputError

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONF = sorted((ROOT / "conf").rglob("*.yaml"))
COMMAND = re.compile(r"(?:dvc exp run -S|python -m stages\.tools\.compose) (?:\\\n|[^`\n])*")


def overrides(command: str) -> list[str]:
    """What follows -S, or `compose`, without comments, options and the names of stages."""
    words = shlex.split(command.replace("\\\n", " "), comments=True)
    return [word for word in words if "=" in word or word.startswith("~")]


def commands() -> list:
    found = {}
    for path in [*DOCUMENTS, *CONF]:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".yaml":  # a command in a comment may go on in the next line
            text = re.sub(r"\n# *", " ", text)
        for match in COMMAND.finditer(text):
            found.setdefault(tuple(overrides(match[0])), path.relative_to(ROOT))
    return [pytest.param(list(c), id=f"{p}: {' '.join(c)}") for c, p in found.items() if c]


def ablations() -> list[str]:
    """The ablations of docs/ablations.md, but for those of the synthetic world's questions."""
    lines = (ROOT / "docs/ablations.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and "dvc exp run -S" in line]
    quoted = [words for row in rows for words in re.findall(r"`(?:dvc exp run -S )?([^`]+)`", row)]
    found = [change for words in quoted for change in overrides(words)]
    return [change for change in found if not change.startswith(("scale=", "questions."))]


@pytest.mark.parametrize("scale", ["gpu", "paper", "real"])
def test_the_ablations_are_there_at_every_scale(scale, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    changes = ablations()
    assert len(changes) > 15
    for change in changes:  # one by one, of commands of several
        compose_unchecked(tmp_path / "params.yaml", [f"scale={scale}", change])


@pytest.mark.parametrize("command", commands())
def test_a_documented_command_composes(command, tmp_path, monkeypatch):
    if any("..." in word for word in command):
        pytest.skip("a pattern, not a command")
    monkeypatch.chdir(ROOT)
    if "+pairs=published" in command:  # until the user has pinned the data set, as the page says
        with pytest.raises(InputError, match=r"published_pairs\.yaml.*'main'"):
            compose(tmp_path / "params.yaml", command)
        return
    compose(tmp_path / "params.yaml", command)
    load_params(tmp_path / "params.yaml")


def stages_named() -> set[str]:
    """Stages in the README's section on them, without iteration or name."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("\n## Stages\n")[2].partition("\n## ")[0]
    return {name.partition("@")[0] for name in re.findall(r"`([a-z0-9@-]+(?:NAME)?)`", section)}


def test_the_readme_names_every_stage():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert set(stages) <= stages_named()


def test_the_readme_is_read_in_a_few_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1600


def test_the_table_of_studies_has_every_study():
    text = (ROOT / "docs/ablations.md").read_text(encoding="utf-8")
    table = text.partition("\n| study | asks | minutes a seed |\n")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row[:60])}
    assert {path.stem for path in (ROOT / "conf/study").glob("*.yaml")} <= named


def test_the_table_of_differences_names_tests_that_are_there():
    """docs/published.md: a row names what holds this repo to it, or has a dash."""
    text = (ROOT / "docs/published.md").read_text(encoding="utf-8")
    head = "\n| what | public code | here | costs | test |\n"
    _, *rows = text.partition(head)[2].partition("\n\n")[0].splitlines()
    assert len(rows) > 35
    for row in rows:
        cell = row.removesuffix(" |").rpartition(" | ")[2]
        names = re.findall(r"`(test_\w+)::(test_\w+)`", cell)
        assert cell == (", ".join(f"`{file}::{name}`" for file, name in names) or "-"), row
        for file, name in names:
            code = (ROOT / f"tests/{file}.py").read_text(encoding="utf-8")
            assert re.search(rf"^def {name}\(", code, re.MULTILINE), f"{file}::{name}"


def test_files_that_documents_link_to_are_there():
    for path in [*DOCUMENTS, *(ROOT / ".github").glob("*.md"), ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path}: {target}"


def test_modules_that_documents_run_are_there():
    for path in DOCUMENTS:
        if path.name == "log.md":  # of its day
            continue
        for module in re.findall(r"python -m (stages[\w.]*)", path.read_text(encoding="utf-8")):
            parts = ROOT.joinpath(*module.rstrip(".").split("."))
            names = module.endswith((".NAME", "stages."))
            there = parts.with_suffix(".py").exists() or (parts / "__main__.py").exists()
            assert there or names, f"{path}: {module}"


def test_code_that_tables_name_is_there():
    """The first column of the tables of edits, and the packages."""
    text = (ROOT / "docs/layout.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    text += readme.partition("\n## Edit this, and that reruns\n")[2].partition("\n## ")[0]
    rows = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
    names = re.findall(r"`([\w/]+(?:\.py)?)`", "\n".join(rows))
    code = [name for name in names if name.endswith(".py") or "/" not in name]
    assert len(code) > 50 and all((ROOT / "stages" / name).exists() for name in code)


def test_the_version_is_one():
    read = {
        name: (ROOT / name).read_text(encoding="utf-8")
        for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md", "LICENSE")
    }
    project, citation = tomllib.loads(read["pyproject.toml"]), yaml.safe_load(read["CITATION.cff"])
    version = project["project"]["version"]
    assert citation["version"] == version and f"\n## {version}\n" in read["CHANGELOG.md"]
    assert citation["license"] == project["project"]["license"]["text"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in read["LICENSE"]


def test_the_authors_are_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert project["authors"] == citation["authors"]
    for author in project["authors"]:
        copyright = rf"^Copyright \d{{4}} {author['name']}$"
        notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
        assert re.search(copyright, notice, re.MULTILINE)


def test_the_public_host_runs_what_every_host_runs():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    runs = [step.get("run") for job in workflow["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in runs and os.access(ROOT / ".ci/run", os.X_OK)


def test_the_public_host_resolves_the_list_for_gpus(tmp_path):
    """On a schedule, by hand, and where the lists differ from the commit before: `make` is called
    then, and else nothing is."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert {"schedule", "workflow_dispatch"} <= workflow[True].keys(), "YAML reads `on` as true"
    script = next(s["run"] for s in workflow["jobs"]["resolve"]["steps"] if "run" in s)
    assert "pytest -n 0 -m resolve" in script
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=0")
    make = tmp_path / "bin/make"
    make.parent.mkdir()
    make.write_text("#!/bin/sh\necho made\nexit 1\n")
    make.chmod(0o755)
    for number, name in enumerate(["requirements/gpu.txt", "README.md", "requirements/gpu.txt"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(str(number))
        command(tmp_path, *git, "init", "-q")
        command(tmp_path, *git, "add", name)
        command(tmp_path, *git, "commit", "-qm", str(number))
    path = f"{make.parent}{os.pathsep}{os.environ['PATH']}"

    def made(base: str, head: str) -> bool:
        command(tmp_path, *git, "checkout", "-q", head)
        words = ["bash", "-e", "-c", script]
        env = os.environ | {"PATH": path, "BASE": base}
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert (done.returncode == 0) == ("made" not in done.stdout)
        return "made" in done.stdout

    last = command(tmp_path, "git", "rev-parse", "HEAD").strip()
    assert made("", last), "by hand"
    assert made("0" * 40, last), "a branch that is new"
    assert made(f"{last}~2", last) and made(f"{last}~1", last)
    assert not made(f"{last}~2", f"{last}~1"), "another file changed"


def test_what_is_gone_is_not_asked_for():
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for mode in re.findall(r"correctness\.mode=(\w+)", text):
            assert mode in {each.name for each in CorrectnessMode} or path.name == "log.md"


def test_the_picture_of_all_stages_is_of_this_pipeline():
    drawn = subprocess.run(
        [sys.executable, "-m", "dvc", "dag", "--md"], cwd=ROOT, capture_output=True, text=True
    )
    assert drawn.returncode == 0, drawn.stderr
    text = (ROOT / "docs/dag.md").read_text(encoding="utf-8")
    assert text.endswith(drawn.stdout), "write docs/dag.md anew: its first lines say how"


def test_what_a_third_iteration_would_run_is_listed(tmp_path):
    text = (ROOT / "docs/your-own.md").read_text(encoding="utf-8")
    [words] = re.findall(r"`(dvc repro --dry --force [^`]*)`", text)
    copy = copy_of_checkout(tmp_path, '+iterations.3={previous: "2"}')
    named = stages_run(command(copy, sys.executable, "-m", *words.split()))
    assert named[:2] == ["agent@3", "trajectories@3"]
    assert {"index@3", "evaluate@3", "health@3", "report"} <= set(named)
    assert not [name for name in named if name.endswith(("@1", "@2"))]
