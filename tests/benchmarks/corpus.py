"""A synthetic corpus of any size, a tiny encoder that knows its words, and stages run on them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import yaml

REPO = Path(__file__).parents[2]
MACHINE = "virtual machine, 2 cores of an Intel Xeon, no GPU, one thread, beside other jobs"
NAMES, PLACES = 1200, 400  # first names, last names; places
FACTS = ("was born in", "lives in", "studied in", "died in")
PROFESSIONS = ("filmmaker", "novelist", "vocalist", "architect", "painter", "chemist")
SMALL = {"layers": 2, "width": 64, "heads": 2, "max_length": 32, "steps": 150, "batch_size": 64}


def write_corpus(path: Path, count: int) -> None:
    """`count` passages of one fact each, seeded; written as they are made."""
    draw = random.Random(0)
    first, last = (_words(draw, NAMES) for _ in range(2))
    places = _words(draw, PLACES)
    with open(path, "w", encoding="utf-8") as file:
        for number in range(count):
            name = f"{draw.choice(first)} {draw.choice(last)}"
            fact = f"{draw.choice(FACTS)} {draw.choice(places)}"
            text = f'"{name}"\nThe {draw.choice(PROFESSIONS)} {name} {fact}.'
            file.write(json.dumps({"id": str(number), "contents": text}) + "\n")


def _words(draw: random.Random, count: int) -> list[str]:
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    made: dict[str, None] = {}
    while len(made) < count:
        made["".join(draw.choices(syllables, k=3)).capitalize()] = None
    return list(made)


def write_params(folder: Path, **index) -> None:
    """The committed parameters with a tiny encoder, one thread, and `index` options."""
    params = yaml.safe_load((REPO / "params.yaml").read_text())
    params["encoder"] |= SMALL
    params["index"] |= {"dtype": "float16"} | index
    params["compute"] |= {"threads": 1, "encoding_batch": 64}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def environment() -> dict[str, str]:
    """For processes that run stages: one thread, and this repository's code."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return os.environ | threads | {"PYTHONPATH": str(REPO), "TOKENIZERS_PARALLELISM": "false"}


def stage(folder: Path, name: str, *arguments: str) -> subprocess.Popen:
    """Start a stage in `folder`; what it says goes to a log there."""
    command = [sys.executable, "-m", f"stages.{name}", *arguments]
    with open(folder / f"{name}.log", "a") as log:
        return subprocess.Popen(command, cwd=folder, env=environment(), stderr=log)


def make_encoder(folder: Path, sample: int = 20_000) -> None:
    """Train `folder`/retriever on the first passages of `folder`/passages.jsonl."""
    with open(folder / "passages.jsonl") as corpus, open(folder / "sample.jsonl", "w") as some:
        some.writelines(line for line, _ in zip(corpus, range(sample)))
    write_params(folder)
    arguments = ("--passages", "sample.jsonl", "--output", "retriever", "--metrics", "encoder.json")
    finish(stage(folder, "encoder", *arguments))


def start_index(folder: Path, output: str) -> subprocess.Popen:
    """Start to build `folder`/`output`."""
    arguments = ("--passages", "passages.jsonl", "--retriever", "retriever")
    return stage(folder, "index", *arguments, "--output", output, "--metrics", f"{output}.json")


def finish(process: subprocess.Popen) -> None:
    """Wait for a stage to succeed."""
    if process.wait():
        raise SystemExit(f"{' '.join(process.args)} failed: see the logs beside its output")
