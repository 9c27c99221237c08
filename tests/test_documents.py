"""Every command of the documents that composes parameters composes ones that a run accepts."""

import re
import shlex
from pathlib import Path

import pytest

from stages.params import load_params
from stages.tools.compose import compose

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONF = sorted((ROOT / "conf").rglob("*.yaml"))
COMMAND = re.compile(r"(?:dvc exp run -S|python -m stages\.compose) (?:\\\n|[^`\n])*")


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
    """The README's one-line ablations, but for those of the synthetic world's questions."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and "dvc exp run -S" in line]
    quoted = [words for row in rows for words in re.findall(r"`(?:dvc exp run -S )?([^`]+)`", row)]
    found = [change for words in quoted for change in overrides(words)]
    return [change for change in found if not change.startswith(("scale=", "questions."))]


@pytest.mark.parametrize("scale", ["gpu", "paper", "real"])
def test_the_ablations_are_there_at_every_scale(scale, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    changes = ablations()
    assert len(changes) > 15
    for change in changes:
        compose(tmp_path / "params.yaml", [f"scale={scale}", change])


@pytest.mark.parametrize("command", commands())
def test_a_documented_command_composes(command, tmp_path, monkeypatch):
    if any("..." in word for word in command):
        pytest.skip("a pattern, not a command")
    monkeypatch.chdir(ROOT)
    compose(tmp_path / "params.yaml", command)
    load_params(tmp_path / "params.yaml")
