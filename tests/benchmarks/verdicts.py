"""What the pilot's contrasts were called, and what new seeds say of them.

    PYTHONPATH=. python tests/benchmarks/verdicts.py

Run by hand, a second; writes the table of docs/verdicts.md from metrics/studies/pilot: `bootstrap`
(the tables as they were, with intervals of the bootstrap over seeds and questions) and the tables
beside it (the same seeds, with t intervals); and from metrics/studies for each study that new seeds
have replaced the pilot in, which keeps rows of each seed, as the pilot did not.
"""

from __future__ import annotations

from pathlib import Path

from stages.common.records import write_text
from stages.reporting.study_rows import ContrastResult, read_rows
from stages.studies.kept import pilots
from stages.studies.markdown import claim_verdict, fill, probability

NEW = Path("metrics/studies")
PILOT = NEW / "pilot"
PAGE = Path("docs/verdicts.md")


def rows_of(path: Path) -> dict[str, ContrastResult]:
    """The rows of EM over all questions by contrast."""
    rows = read_rows(path, ContrastResult)
    return {row.contrast: row for row in rows if (row.question_set, row.measure) == ("all", "em")}


def points(row: ContrastResult) -> str:
    """The interval in points of EM."""
    low, high = (f"{100 * end:+.1f}" for end in (row.low, row.high))
    return f"{low} to {high}"


def adjusted(row: ContrastResult) -> str:
    """A claim's p after Holm's correction."""
    return "" if row.p_adjusted is None else probability(row.p_adjusted)


def replicated(old: ContrastResult, new: ContrastResult | None) -> str:
    """Four cells: what new seeds say, bold where the pilot by t said otherwise."""
    if new is None:
        return "|  |  |  |  |"
    mark = "**" if new.clear != old.clear else ""
    return (
        f"| {100 * new.mean:+.1f} ({points(new)}) | {adjusted(new)} "
        f"| {mark}{claim_verdict(new)}{mark} | {new.seeds} |"
    )


def table() -> str:
    """A line for each contrast of each study of the pilot."""
    lines = [
        "| study | contrast | EM points | bootstrap | was | t | p | p, Holm | is "
        "| new seeds | p, Holm | say | seeds |",
        "|" + " --- |" * 13,
    ]
    old_studies = pilots(NEW)
    elsewhere = rows_of(NEW / "window_contrasts.csv")  # were of the study judge
    for path in sorted((PILOT / "bootstrap").glob("*_contrasts.csv")):
        study = path.stem.removesuffix("_contrasts")
        pilot, new = rows_of(PILOT / path.name), {}
        if study not in old_studies:
            new = rows_of(NEW / path.name)
        for name, old in rows_of(path).items():
            row, fresh = pilot[name], new.get(name, elsewhere.get(name))
            mark = "**" if row.clear != old.clear else ""
            lines.append(
                f"| {study} | {name} | {100 * row.mean:+.1f} | {points(old)} "
                f"| {claim_verdict(old)} | {points(row)} | {probability(row.p)} | {adjusted(row)} "
                f"| {mark}{claim_verdict(row)}{mark} {replicated(row, fresh)}"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write_text(PAGE, fill(PAGE.read_text(encoding="utf-8"), {"verdicts": table()}))
