"""A file of conf/ that cannot be read is one line with its name and line; params.yaml stays."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages.composing.compose import compose
from stages.plumbing.errors import InputError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """A copy of conf/ in the folder that commands run in."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "conf"


def refused(*overrides: str) -> str:
    with pytest.raises(InputError) as error:
        compose(Path("params.yaml"), list(overrides))
    assert "\n" not in str(error.value) and not Path("params.yaml").exists()
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"seed: 1\nseed: 2\n", "2: not valid YAML (found duplicate key seed)"),
        (b"pairs:\n  negatives: 1\n  negatives: 1\n", "3: not valid YAML (found duplicate key"),
        (b"pairs:\n\tnegatives: 1\n", "2: not valid YAML (found character '\\t'"),
        (b"pairs: {negatives: 1\nseed: 1\n", "2: not valid YAML (expected ',' or '}'"),
        (b"pairs: {negatives: 1", "1: not valid YAML (expected ',' or '}'"),
        (b"seed: [1\n", "2: not valid YAML (expected ',' or ']'"),
        (b"seed: 'one\n", "2: not valid YAML (found unexpected end of stream)"),
        (b"seed: 1\n  pairs: 2\n", "2: not valid YAML (mapping values are not allowed here)"),
        (b"seed: *one\n", "1: not valid YAML (found undefined alias 'one')"),
        (b"seed: !one 1\n", "1: not valid YAML (could not determine a constructor"),
        (b"? [seed]\n: 1\n", "1: not valid YAML (found unhashable key)"),
        (b"seed: 1\n---\nseed: 2\n", "2: not valid YAML"),
        (b"# \xe2\x82\xac\nseed: \x07\n", "2: not valid YAML (unacceptable character #x0007"),
        ("# größe\nseed: '".encode() + b"\xff'\n", "2: not valid UTF-8"),
        (b"3\n", " not valid YAML (Invalid loaded object type: int)"),
        (b"seed: !!int one\n", " not valid YAML (invalid literal for int()"),
        (b"seed: !!bool one\n", " not valid YAML ('one')"),
        (b"seed: !!set {one}\n", " 'seed': Value 'set' is not a supported"),
        (b"seed: ${one\n", " 'seed': no viable alternative"),
        (b"seed: " + b"[" * 5000, " nested too deeply"),
        (b"seed: &one [*one]\n", " nested too deeply"),
    ],
)
@pytest.mark.parametrize("name", ["scale/mine.yaml", "config.yaml"])
def test_a_file_that_cannot_be_read_is_named(conf, name, text, message):
    (conf / name).write_bytes(text)
    assert refused("scale=mine").startswith(f"conf/{name}:{message}")


def test_another_broken_file_is_not_blamed(conf):
    (conf / "compare/a.yaml").write_text("seed: 1\nseed: 2\n")
    (conf / "scale/mine.yaml").write_text("\n\nseed: 1\nseed: 2\n")
    assert refused("scale=mine").startswith("conf/scale/mine.yaml:4: not valid YAML")
    assert refused("seed=${nowhere}").startswith("conf: Interpolation key 'nowhere' not found")


def test_a_linked_file_is_named_by_its_place(conf, tmp_path):
    (tmp_path / "elsewhere.yaml").write_text("seed: 1\nseed: 2\n")
    (conf / "scale/mine.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    assert refused("scale=mine").startswith("conf/scale/mine.yaml:2: not valid YAML")


def test_the_command_prints_the_line_alone(conf):
    (conf / "scale/mine.yaml").write_text("seed: 1\nseed: 2\n")
    done = subprocess.run(
        [sys.executable, "-m", "stages.tools.compose", "scale=mine"],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: conf/scale/mine.yaml:2: not valid YAML (found duplicate key seed)\n"
    )
