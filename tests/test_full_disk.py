"""A disk that is really full, a tmpfs of a few pages: one line from every writer, and no loss.

A limit on the size of files (`ulimit -f`) cannot show this: a write into a map then ends otherwise.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import retrieval_world as world
import rollout_models
import torch
import yaml
from checkout import ROOT

from stages import index
from stages.common.models import save_model
from stages.common.records import write_jsonl
from stages.contrastive.training import ContrastiveRecipe, train_encoder
from stages.params import Index, IndexKind
from stages.plumbing import errors
from stages.retrieval import approximate, bm25
from stages.retrieval.corpus import PassageFile, line_starts
from stages.running import checkpoint


def mount(folder: Path, size: str, *options: str) -> None:
    words = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs", folder]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The current folder is a disk of 48 KiB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "small"
    folder.mkdir()
    mount(folder, "48k")
    monkeypatch.chdir(folder)
    yield folder
    monkeypatch.undo()
    subprocess.run(["umount", "--lazy", folder], check=True)


def corpus(folder: Path, passages: int = 120) -> PassageFile:
    """Outside the small disk."""
    path = world.write_corpus(folder.parent / "passages.jsonl", world.corpus(passages))
    return PassageFile(path, line_starts(path))


def language_model(folder: Path) -> None:
    tokenizer = rollout_models.make_tokenizer()
    save_model(rollout_models.make_model("qwen2", tokenizer), tokenizer, folder)


def tokenizer(folder: Path) -> None:
    rollout_models.make_tokenizer().save_pretrained(folder)
    rollout_models.make_tokenizer().save_pretrained(folder.with_name("again"))
    rollout_models.make_tokenizer().save_pretrained(folder.with_name("third"))
    language_model(folder)


def faiss_index(folder: Path) -> None:
    vectors = np.random.default_rng(0).random((2000, 32), dtype=np.float32)
    folder.mkdir()
    approximate.build(vectors, Index(kind=IndexKind.hnsw), 1, folder)


def training(folder: Path) -> None:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer

    from stages.contrastive.loss import symmetric_loss

    model = SentenceTransformer(str(world.tiny_retriever(folder.parents[1] / "r")), device="cpu")
    rows = Dataset.from_dict({"anchor": ["a b"] * 8, "positive": ["c d"] * 8})
    recipe = ContrastiveRecipe(batch_size=4, learning_rate=1e-3, warmup=0.1)
    options = {"seed": 0, "device": "cpu", "desc": "t"}
    train_encoder(model, rows, lambda m: symmetric_loss(m, 0.1), recipe, folder, **options)


WRITERS = {
    "json lines": lambda path: write_jsonl(path, ({"id": "x" * 1000} for _ in range(1000))),
    "array": lambda path: np.save(path, np.zeros(100_000)),
    "checkpoint": lambda path: checkpoint.save({"weights": torch.zeros(100_000)}, path),
    "torch": lambda path: torch.save({"weights": torch.zeros(100_000)}, path),
    "language model": language_model,
    "tokenizer": tokenizer,
    "retriever": world.tiny_retriever,
    "faiss index": faiss_index,
    "words index": lambda path: bm25.build(corpus(path.parent, 3000), path),
    "retriever's training": training,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_ends_in_one_line(small, capfd, name):
    with pytest.raises(SystemExit) as ended:
        errors.run(lambda: WRITERS[name](small / "out"))
    assert ended.value.code == 2
    said = capfd.readouterr().err
    assert "Traceback" not in said
    line = said.splitlines()[-1]
    assert line.startswith("error: ") and line.endswith(errors.KEPT)
    assert "No space left" in line or "the disk is full" in line


def test_vectors_are_refused_before_they_are_mapped_and_the_index_goes_on(small, monkeypatch):
    """Without room kept for it, the map's first write ends the process by SIGBUS."""
    path = corpus(small).path
    world.tiny_retriever(small.parent / "retriever")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    (small / "params.yaml").write_text(yaml.safe_dump(params))
    options = ["--passages", str(path), "--retriever", str(small.parent / "retriever")]
    options += ["--output", "index", "--metrics", "index.json"]
    done = subprocess.run(
        [sys.executable, "-m", "stages.index", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("encoding")]
    assert lines[-1].startswith("error: ") and lines[-1].endswith(errors.KEPT)
    assert "vectors.npy: No space left on device" in lines[-1]
    assert "Traceback" not in done.stderr
    mount(small, "8m", "remount")
    index.main(options)
    roomy = small.parent / "roomy"
    roomy.mkdir()
    shutil.copy(small / "params.yaml", roomy)
    monkeypatch.chdir(roomy)
    index.main(options)
    assert digests(small / "index") == digests(roomy / "index")


def digests(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.iterdir()}


def test_a_read_only_checkout_is_one_line(small):
    mount(small, "8m", "remount")
    shutil.copy(ROOT / "params.yaml", small)
    shutil.copytree(ROOT / "conf", small / "conf")
    shutil.copytree(ROOT / "stages/prompts", small / "stages/prompts")
    path = corpus(small).path
    mount(small, "8m", "remount", "ro")
    for words in (
        ["index", "--passages", str(path), "--bm25", "--output", "index", "--metrics", "m.json"],
        ["tools.compose", "seed=1"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", f"stages.{words[0]}", *words[1:]],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert "Read-only file system" in done.stderr
