"""Do results depend on how they are computed? Each setting of `compute` varied, outputs compared.

    PYTHONPATH=.:tests python -m vary_compute --output metrics/reliability/determinism.json

Runs the smallest flywheel, then its stages again under each variation, and compares bytes. What may
differ is known and listed (MAY_DIFFER, with the reason); anything else fails. Then the questions in
another order: each must get the same trajectory.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from checkout import command, compose_in
from kill_stages import SMALL, Flywheel, small_flywheel

STAGES = ("index-0", "agent@1", "trajectories@1", "candidates@1", "relevance@1", "correctness@1")
STAGES += ("retriever@1", "evaluate@1")
VARIATIONS = {
    "again": (),
    "generation_batch 128 -> 5": ("compute.generation_batch=5",),
    "encoding_batch 8 -> 32": ("compute.encoding_batch=32",),
    "threads 2 -> 1": ("compute.threads=1",),
    "two Ray workers": ("compute.ray=local", "compute.workers=2"),
}
MAY_DIFFER = {
    "encoding_batch 8 -> 32": "vectors round differently in batches of another shape",
    "threads 2 -> 1": "sums in training are split between threads",
}


def compare(flywheel: Flywheel, overrides: tuple[str, ...]) -> dict[str, bool]:
    """Whether each stage gives the same bytes under `overrides`, its inputs as they were."""
    compose_in(flywheel.folder, *SMALL, *overrides)
    same = {}
    for stage in STAGES:
        flywheel.remove_outputs(stage)
        flywheel.run(stage)
        same[stage] = flywheel.digest(stage) == flywheel.digests[stage]
        command(flywheel.folder, "dvc", "checkout", "--force", stage)
    return same


def reversed_questions(flywheel: Flywheel) -> dict[str, bool]:
    """Whether every test question gets the same trajectory with the questions in reverse order."""
    compose_in(flywheel.folder, *SMALL)
    predictions = flywheel.folder / "data/predictions/1.jsonl"
    before = sorted(predictions.read_text().splitlines())
    for file in (flywheel.folder / "data/questions/test").glob("*.jsonl"):
        lines = file.read_text().splitlines()
        file.unlink()  # a link to DVC's cache is never written through
        file.write_text("".join(f"{line}\n" for line in reversed(lines)))
    flywheel.run("evaluate@1")
    return {"evaluate@1": sorted(predictions.read_text().splitlines()) == before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        flywheel = small_flywheel(Path(folder) / "repo", STAGES)
        for name, overrides in VARIATIONS.items():
            found[name] = compare(flywheel, overrides)
            print(name, found[name], flush=True)
        found["questions in reverse order"] = reversed_questions(flywheel)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(found, indent=2) + "\n")
    wrong = [
        name for name, same in found.items() if not all(same.values()) and name not in MAY_DIFFER
    ]
    if wrong:
        raise SystemExit(f"results depend on: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
