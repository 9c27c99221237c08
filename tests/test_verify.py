"""`stages.tools.verify` finds what DVC takes for whole; and the links of the cache are safe."""

import os
import shutil
from pathlib import Path

import pytest
from checkout import ROOT, command, stages_run

PIPELINE = """
stages:
  pairs:
    cmd: mkdir -p data && printf 'made\\n' > data/pairs.jsonl
    outs: [data/pairs.jsonl]
  model:
    cmd: mkdir -p model && printf 'hello\\n' > model/a && printf 'again\\n' > model/b
    outs: [model]
  index:
    cmd: mkdir -p index && printf 'vectors\\n' > index/v
    outs: [{index: {push: false}}]
  figures:
    cmd: echo 1 > figures.json
    metrics: [{figures.json: {cache: false}}]
"""


@pytest.fixture
def checkout(tmp_path):
    """A run of PIPELINE with this repo's own configuration of DVC."""
    command(tmp_path, "git", "init", "-q")
    command(tmp_path, "dvc", "init", "-q")
    shutil.copy(ROOT / ".dvc/config", tmp_path / ".dvc/config")
    (tmp_path / "conf").mkdir()
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    command(tmp_path, "dvc", "repro", "-q")
    return tmp_path


def verify(folder: Path, code: int) -> list[str]:
    said = command(folder, "python", "-m", "stages.tools.verify", code=code, PYTHONPATH=str(ROOT))
    assert "Traceback" not in said
    return [line for line in said.splitlines() if line and "reading:" not in line]


def cached(folder: Path, text: str) -> Path:
    """The object of the cache that holds `text`."""
    files = (folder / ".dvc/cache/files/md5").rglob("*")
    return next(f for f in files if f.is_file() and f.read_text() == text)


def flip(file: Path) -> None:
    """Change a byte as a failing disk does: size and time stay."""
    state = file.stat()
    with open(file, "r+b") as stream:
        byte = stream.read(1)
        stream.seek(0)
        stream.write(bytes([byte[0] ^ 1]))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_a_whole_checkout(checkout):
    assert verify(checkout, 0) == [
        "6 objects of the cache and 4 outputs read: all are what they should be"
    ]


def test_writing_over_an_output_does_not_reach_the_cache(checkout):
    """As root in a container, where hard links' read-only mode stops nobody."""
    (checkout / "mine.jsonl").write_text("mine\n")
    command(checkout, "cp", "mine.jsonl", "data/pairs.jsonl")
    assert cached(checkout, "made\n").exists()
    assert "modified" in command(checkout, "dvc", "status")
    assert verify(checkout, 1)[0] == "data/pairs.jsonl: is not what dvc.lock says"
    command(checkout, "dvc", "checkout", "--force", "data/pairs.jsonl")
    assert (checkout / "data/pairs.jsonl").read_text() == "made\n"


def test_an_old_clone_is_told_to_link_anew(checkout):
    old = (checkout / ".dvc/config").read_text().replace("reflink,copy", "hardlink")
    (checkout / ".dvc/config.local").write_text(old)
    command(checkout, "dvc", "checkout", "--relink")
    (checkout / ".dvc/config.local").unlink()
    assert "`dvc checkout --relink`" in verify(checkout, 0)[-1]
    command(checkout, "dvc", "checkout", "--relink")
    assert len(verify(checkout, 0)) == 1
    (checkout / "data/pairs.jsonl").write_text("mine\n")
    assert cached(checkout, "made\n").exists()


def test_a_flipped_byte_in_an_output(checkout):
    flip(checkout / "model/b")
    assert "up to date" in command(checkout, "dvc", "status"), "DVC looks at size and time"
    assert verify(checkout, 1)[0] == "model/b: is not what dvc.lock says"
    (checkout / "model/b").unlink()
    command(checkout, "dvc", "checkout")
    verify(checkout, 0)


def test_a_flipped_byte_in_the_cache(checkout):
    broken = cached(checkout, "again\n")
    flip(broken)
    (checkout / "model/b").unlink()
    command(checkout, "dvc", "checkout")
    assert "up to date" in command(checkout, "dvc", "status")
    lines = verify(checkout, 1)
    assert lines[0] == (
        f"{broken.relative_to(checkout)}: an object of the cache is not what its name says"
    )
    assert lines[1] == "model/b: is not what dvc.lock says"
    broken.unlink()
    (checkout / "model/b").unlink()
    assert stages_run(command(checkout, "dvc", "repro")) == ["model"]
    verify(checkout, 0)


def test_files_that_are_added_or_lost_are_named(checkout):
    (checkout / "model/c").write_text("new\n")
    (checkout / "model/a").unlink()
    (checkout / "figures.json").write_text("2\n")
    assert set(verify(checkout, 1)[:3]) == {
        "model/a: is missing, dvc.lock has it",
        "model/c: is not in dvc.lock",
        "figures.json: is not what dvc.lock says",
    }


def test_what_the_cache_lacks_is_a_fault_where_it_would_be_pushed(checkout):
    cached(checkout, "vectors\n").unlink()
    verify(checkout, 0)
    cached(checkout, "again\n").unlink()
    assert verify(checkout, 1)[0] == ("model: is not whole in the cache: a push would leave it out")


def test_a_fresh_clone_has_no_fault(checkout):
    shutil.rmtree(checkout / ".dvc/cache")
    for name in ("data", "model", "index"):
        shutil.rmtree(checkout / name)
    lines = verify(checkout, 0)
    assert lines[0].startswith("0 objects of the cache and 1 outputs read: all are")
    assert lines[1] == "not here, so not read (3): data/pairs.jsonl, model, index"


def test_a_folder_that_dvc_cannot_read_is_one_line(tmp_path):
    assert verify(tmp_path, 2)[0].startswith("error: DVC cannot read this checkout (")


def test_a_broken_lock_is_one_line(checkout):
    (checkout / "dvc.lock").write_text("schema: [")
    lines = verify(checkout, 2)
    assert len(lines) == 1 and "dvc.lock" in lines[0]
