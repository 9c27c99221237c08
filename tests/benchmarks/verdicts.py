"""What the contrasts of five seeds were called by the bootstrap, and what they are called now.

    PYTHONPATH=. python tests/benchmarks/verdicts.py

Run by hand, a second; writes the table of docs/verdicts.md from metrics/studies/former (the tables
as they were, with intervals of the bootstrap over seeds and questions) and metrics/studies (the
same seeds, with t intervals).
"""

from __future__ import annotations

from pathlib import Path

from stages.common.records import write_text
from stages.reporting.study_rows import ContrastResult, read_rows
from stages.studies.markdown import claim_verdict, fill, probability

FORMER, TODAY = Path("metrics/studies/former"), Path("metrics/studies")
PAGE = Path("docs/verdicts.md")


def rows_of(path: Path) -> dict[str, ContrastResult]:
    """The rows of EM over all questions by contrast."""
    rows = read_rows(path, ContrastResult)
    return {row.contrast: row for row in rows if (row.question_set, row.measure) == ("all", "em")}


def points(row: ContrastResult) -> str:
    """The interval in points of EM."""
    low, high = (f"{100 * end:+.1f}" for end in (row.low, row.high))
    return f"{low} to {high}"


def table() -> str:
    """A line for each contrast of each study; bold where the verdict is another one."""
    lines = [
        "| study | contrast | EM points | bootstrap | was | t | p | p, Holm | is |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for path in sorted(FORMER.glob("*_contrasts.csv")):
        today = rows_of(TODAY / path.name)
        for name, old in rows_of(path).items():
            new = today[name]
            now = claim_verdict(new)
            if new.clear != old.clear:
                now = f"**{now}**"
            adjusted = "" if new.p_adjusted is None else probability(new.p_adjusted)
            lines.append(
                f"| {path.stem.removesuffix('_contrasts')} | {name} "
                f"| {100 * new.mean:+.1f} | {points(old)} | {claim_verdict(old)} | {points(new)} "
                f"| {probability(new.p)} | {adjusted} | {now} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write_text(PAGE, fill(PAGE.read_text(encoding="utf-8"), {"verdicts": table()}))
