"""Seconds and memory of stages at 1, 4 and 16 times the questions and passages.

    PYTHONPATH=.:tests python tests/benchmarks/growth.py --work /tmp/growth-benchmark

Run by hand; writes metrics/benchmarks/growth.json, and docs/performance.md with the others. The
world of the laptop scale, searched by BM25, with the scripted agent; grades are drawn at random.
Each stage is a process: its processor time, and the most memory that it ever held. The exponent is
that of the growth from 1 to 16 times, with the time of `--help` taken off; bytes a question are
those between 4 and 16 times.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import flywheel_files
from omegaconf import OmegaConf
from performance import machine, write_page

from stages.common.records import iter_jsonl, write_json, write_jsonl
from stages.composing.compose import compose
from stages.plumbing.usage import resident_kib

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "metrics/benchmarks/growth.json"
FACTORS = (1, 4, 16)
QUESTIONS, NAMES, TITLE_WORDS = 60, 12, 20  # at 1 time
# Names beyond the tokenizer's own are spelled in letters, so turns are longer than a laptop's.
ROOM = (
    "rollout.max_turn_tokens=64",
    "rollout.max_information_tokens=192",
    "rollout.max_context_tokens=1024",
)
FILES = {
    "questions": "data/questions/train.jsonl",
    "passages": "data/passages.jsonl",
    "trajectories": "trajectories.jsonl",
    "candidates": "candidates.jsonl",
    "relevance": "relevance.jsonl",
    "correctness": "correctness.jsonl",
    "visits": "visits.jsonl",
    "agent": "agent",
    "judge": "agent",  # visits ask none unless told to
    "retriever": "agent",  # BM25 asks no encoder
    "index": "index",
}
SEARCHED = ("retriever", "index", "passages")
STAGES = {  # name -> what it reads
    "index": ("passages",),
    "trajectories": ("agent", *SEARCHED, "questions"),
    "visits": ("trajectories", "passages", "judge"),
    "candidates": ("trajectories", *SEARCHED),
    "correctness": ("candidates", "relevance", "trajectories", "visits", "agent", *SEARCHED),
    "pairs": ("candidates", "relevance", "correctness", "visits", "passages"),
    "evaluate": ("agent", *SEARCHED),
}
REPORT = (
    "--metrics-folder metrics --predictions data/predictions --labels data --questions "
    "data/questions/test --passages data/corpus/passages.jsonl --output data/report --metrics "
    "metrics/report.json --plots metrics/report.csv --curves metrics/curves.csv"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="an empty folder")
    work = parser.parse_args().work.resolve()
    os.chdir(ROOT)
    measured: dict[str, list[dict]] = {}
    for factor in FACTORS:
        folder = work / str(factor)
        folder.mkdir(parents=True)
        for name, metrics in _world(folder, factor).items():
            measured.setdefault(name, []).append({"factor": factor} | metrics)
        made = work / f"report-{factor}"
        flywheel_files.write_flywheel(made, QUESTIONS * factor)
        OmegaConf.save(OmegaConf.structured(flywheel_files.params()), made / "params.yaml")
        metrics = {"questions": len(flywheel_files.SETS) * QUESTIONS * factor}
        metrics |= _timed(made, "report", REPORT.split())
        measured.setdefault("report", []).append({"factor": factor} | metrics)
    floors = {name: _timed(work, name, ["--help"])["seconds"] for name in measured}
    rows = {name: _fitted(rows, floors[name]) for name, rows in measured.items()}
    write_json(OUTPUT, {"machine": machine(), "stages": rows})
    write_page()


def _world(folder: Path, factor: int) -> dict[str, dict]:
    """The figures of each stage on a world of its own."""
    asked = QUESTIONS * factor
    sizes = (
        f"corpus.world.names={NAMES * factor}",
        f"corpus.world.title_words={TITLE_WORDS * math.isqrt(factor)}",  # a title is two of them
        f"trajectories.questions={asked}",
        *ROOM,
    )
    tested = max(8, asked // 4)
    counts = (
        f"questions.training={asked}",
        f"questions.test={tested}",
        f"questions.development={tested // 2}",
    )
    compose(folder / "params.yaml", [*sizes, *counts, "compute.threads=1"])
    _timed(folder, "corpus", ["--output", "data"])
    _timed(folder, "questions", ["--corpus", "data", "--output", "data/questions"])
    scripted = {"tokenizer": str(ROOT / "models/agent/0")}
    write_json(folder / "agent/scripted.json", scripted)
    metrics = {}
    for name, reads in STAGES.items():
        if name == "correctness":
            _grade(folder)
        words = [word for read in reads for word in (f"--{read}", FILES[read])]
        output = FILES.get(name, f"{name}.jsonl")
        words += ["--output", output, "--metrics", f"{name}.json"]
        if name == "index":
            words.append("--bm25")
        elif name == "evaluate":
            words += ["--name", "pair", "--questions", "data/questions/test"]
        else:
            words += ["--iteration", "1"]
        metrics[name] = {"questions": asked} | _timed(folder, name, words)
    return metrics


def _grade(folder: Path) -> None:
    """Grades of all candidates, drawn at random."""
    draw = random.Random(0)
    rows = (row for _, row in iter_jsonl(folder / "candidates.jsonl"))
    graded = (
        {
            "id": row["id"],
            "sub_answer": None,
            "scores": {each["id"]: draw.choice((0, 30, 60, 90)) for each in row["candidates"]},
        }
        for row in rows
    )
    write_jsonl(folder / "relevance.jsonl", graded)


def _timed(folder: Path, stage: str, words: list[str]) -> dict:
    """Processor seconds of a stage, and its most memory in MB. SystemExit if it fails."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment |= {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    with open(folder / f"{stage}.log", "w") as log:
        command = [sys.executable, "-m", f"stages.{stage}", *words]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{stage} failed: see {folder / f'{stage}.log'}")
    return {
        "seconds": round(used.ru_utime + used.ru_stime, 2),
        "megabytes": round(resident_kib(used) / 1024, 1),
    }


def _fitted(rows: list[dict], floor: float) -> dict:
    """The rows of a stage, and how its time and memory grow with the questions."""
    first, middle, last = rows
    own = [max(row["seconds"] - floor, 0.01) for row in (first, last)]
    exponent = math.log(own[1] / own[0]) / math.log(last["factor"] / first["factor"])
    grown = (last["megabytes"] - middle["megabytes"]) * 2**20
    return {
        "sizes": rows,
        "help_seconds": floor,
        "time_exponent": round(exponent, 2),
        "bytes_a_question": round(grown / (last["questions"] - middle["questions"])),
    }


if __name__ == "__main__":
    main()
    print(json.dumps(json.loads(OUTPUT.read_text()), indent=1))
