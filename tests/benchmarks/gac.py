"""Seconds of GAC by its modes, exact and approximate, each in turn in one run.

    PYTHONPATH=. python tests/benchmarks/gac.py --run FOLDER

Run by hand in a checkout whose laptop run is finished (FOLDER; nothing in it is changed); writes
metrics/benchmarks/gac.json. Seconds are those of the whole stage of iteration 1, imports and
loading of models included; what the labels do to the retriever is in
metrics/studies/price_price.csv.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stages.common.records import read_json, write_json
from stages.composing.compose import compose

OUTPUT = Path("metrics/benchmarks/gac.json").resolve()
ROOT = Path(__file__).parents[2]
ROUNDS = 2
MODES = {
    "exhaustive": ["correctness.mode=exhaustive"],
    "lazy": [],
    "top 5 by LR": ["correctness.top=5"],
    "one at a time": ["correctness.whole_levels=false"],
}
COMMAND = (
    "-m stages.correctness --iteration 1 --candidates data/candidates/1.jsonl "
    "--relevance data/relevance/1.jsonl --trajectories data/trajectories/1.jsonl "
    "--visits data/visits/1.jsonl "
    "--agent models/agent/1 --retriever models/retriever/0 --index data/index/0 "
    "--passages data/corpus/passages.jsonl --output scores.jsonl --metrics metrics.json"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="checkout with a finished run")
    run = parser.parse_args().run.resolve()
    seconds: dict[str, list[float]] = {mode: [] for mode in MODES}
    metrics: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in ("data", "models"):
            (place / name).symlink_to(run / name)
        os.chdir(ROOT)
        for _ in range(ROUNDS):
            for mode, overrides in MODES.items():
                compose(place / "params.yaml", overrides)
                seconds[mode].append(_timed(place))
                metrics[mode] = read_json(place / "metrics.json")
    medians = {mode: statistics.median(values) for mode, values in seconds.items()}
    rows = {
        mode: {
            "seconds": [round(value, 2) for value in seconds[mode]],
            "share_of_exhaustive": round(medians[mode] / medians["exhaustive"], 3),
            **{key: metrics[mode][key] for key in ("rollouts", "written_tokens", "read_tokens")},
        }
        for mode in MODES
    }
    machine = f"{os.cpu_count()} cores, no GPU, a language model of under a million parameters"
    write_json(OUTPUT, {"machine": machine, "modes": rows})


def _timed(place: Path) -> float:
    began = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, *COMMAND.split()],
        cwd=place,
        env=environment,
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
