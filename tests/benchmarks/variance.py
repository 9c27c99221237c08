"""How much of the seeds' spread the questions explain, from the kept seeds and one finished run.

    PYTHONPATH=. python tests/benchmarks/variance.py --run FOLDER

Run by hand, seconds. The pilot's tables keep each seed's figures and no question, so the
questions' part is that of the one seed whose run lies in FOLDER (nothing in it is changed); its
figures must be those of that seed. Writes metrics/benchmarks/variance.csv and the table of
docs/statistics.md. Studies of today keep it of every seed: `stages.tools.study --power`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean

from stages.common.records import as_csv, read_yaml, write_text
from stages.common.trajectories import read_predictions
from stages.evaluation.intervals import chain
from stages.plumbing.errors import InputError
from stages.reporting.pairing import paired
from stages.reporting.study_rows import ContrastResult, PairRow, read_rows
from stages.studies.contrasts import SIGNIFICANT
from stages.studies.markdown import fill
from stages.studies.plan import Contrast, read_study
from stages.studies.power import seed_variance, seeds_needed
from stages.studies.samples import Sample, interval

STUDY, KEPT = Path("conf/study/laptop.yaml"), Path("metrics/studies/pilot/laptop.csv")
OUTPUT, PAGE = Path("metrics/benchmarks/variance.csv"), Path("docs/statistics.md")
TIMES = (1, 2, 4)


def of_run(folder: Path, contrast: Contrast, kept: list[PairRow]) -> float | None:
    """The standard error of the contrast's EM over the questions of the run in `folder`; None for
    a contrast that is not of the full method alone."""
    params = read_yaml(folder / "params.yaml")
    names = {(p["agent"], p["retriever"]): name for name, p in params["compare"].items()}
    names |= {(turn, turn): turn for turn in params["iterations"]}
    sides = []
    for side in (contrast.before, contrast.after):
        if side.variant != "full":
            return None
        rows = read_predictions(
            folder / f"data/predictions/{names[side.agent, side.retriever]}.jsonl"
        )
        for name in {row.set for row in rows}:
            key = (params["seed"], "full", side.agent, side.retriever, name)
            (em,) = (
                row.em
                for row in kept
                if (row.seed, row.variant, row.agent, row.retriever, row.question_set) == key
            )
            if abs(em - fmean(row.em for row in rows if row.set == name)) > 1e-6:
                raise InputError(f"{folder}: its EM is not that of seed {params['seed']} in {KEPT}")
        sides.append(rows)
    sample = Sample()
    for old, new in paired(*sides, names=("before", "after")):
        sample.values.append(float(new.em - old.em))
        sample.chains.append(chain(old.supporting_ids))
        sample.questions.append(old.key)
    return interval([sample]).question_error


def main() -> None:
    """Write the table of the claims of the full method, and the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="a checkout with a finished run")
    folder = parser.parse_args().run
    study, kept = read_study(STUDY), read_rows(KEPT, PairRow)
    whole = {
        row.contrast: row
        for row in read_rows(KEPT.with_name("laptop_contrasts.csv"), ContrastResult)
        if (row.question_set, row.measure) == ("all", "em")
    }
    level, rows = SIGNIFICANT / len(study.claims), []
    for contrast in study.contrasts:
        if contrast.name in study.claims and (error := of_run(folder, contrast, kept)):
            mean, spread = whole[contrast.name].mean, whole[contrast.name].spread
            needed = {t: seeds_needed(mean, seed_variance(spread, error, t), level) for t in TIMES}
            rows.append(
                {
                    "claim": contrast.name,
                    "mean": mean,
                    "spread": spread,
                    "question_error": round(error, 6),
                    **{f"seeds_{times}": seeds for times, seeds in needed.items()},
                }
            )
    write_text(OUTPUT, as_csv(rows))
    lines = [
        "| claim | EM points | spread of seeds | of questions alone | seeds needed "
        "| with twice the questions | with four times |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        metrics = (f"{100 * row[key]:.1f}" for key in ("mean", "spread", "question_error"))
        counts = (str(row[f"seeds_{times}"] or "over 100") for times in TIMES)
        lines.append(f"| {row['claim']} | {' | '.join(metrics)} | {' | '.join(counts)} |")
    text = fill(PAGE.read_text(encoding="utf-8"), {"variance": "\n".join(lines) + "\n"})
    write_text(PAGE, text)


if __name__ == "__main__":
    main()
