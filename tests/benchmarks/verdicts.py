"""What the contrasts of five seeds were called by the bootstrap, and what they are called now.

    PYTHONPATH=. python tests/benchmarks/verdicts.py

Run by hand, a second; writes the table of docs/verdicts.md from metrics/studies/former (the tables
as they were, with intervals of the bootstrap over seeds and questions) and metrics/studies (the
same seeds, `python -m stages.tools.study --kept`).
"""

from __future__ import annotations

import csv
from pathlib import Path

from stages.common.records import write_text
from stages.studies.markdown import claim_verdict, fill

FORMER, TODAY = Path("metrics/studies/former"), Path("metrics/studies")
PAGE = Path("docs/verdicts.md")


def rows_of(path: Path) -> dict[str, dict]:
    """The rows of EM over all questions by contrast; cells as texts."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {r["contrast"]: r for r in rows if (r["question_set"], r["measure"]) == ("all", "em")}


def points(row: dict) -> str:
    """The interval in points of EM."""
    low, high = (f"{100 * float(row[end]):+.1f}" for end in ("low", "high"))
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
            was = "clear" if old["clear"] == "True" else "no difference shown"
            flags = {key: new[key] == "True" for key in ("claim", "clear")}
            now = claim_verdict(flags)
            if flags["clear"] != (old["clear"] == "True"):
                now = f"**{now}**"
            adjusted = f"{float(new['p_adjusted']):.3f}" if new["p_adjusted"] else ""
            lines.append(
                f"| {path.stem.removesuffix('_contrasts')} | {name} "
                f"| {100 * float(new['mean']):+.1f} | {points(old)} | {was} | {points(new)} "
                f"| {float(new['p']):.3f} | {adjusted} | {now} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write_text(PAGE, fill(PAGE.read_text(encoding="utf-8"), {"verdicts": table()}))
