"""Put what was measured of reliability into docs/reliability.md, between its marks.

    PYTHONPATH=.:tests python -m write_reliability

Reads metrics/reliability/*.json, which kill_stages, vary_compute, load_server and remote_round_trip
write.
"""

import json
from pathlib import Path

from stages.records import write_text
from stages.studies.markdown import fill

FIGURES = Path("metrics/reliability")
PAGE = Path("docs/reliability.md")


def kills(rows: list[dict]) -> str:
    """Stage, kills, and how many ends had the same bytes."""
    lines = ["| stage | kills | ends | identical | scratch left |", "| --- | --- | --- | --- | --- |"]
    total = {key: sum(row[key] for row in rows) for key in rows[0] if key != "stage"}
    for row in [*rows, {"stage": "all", **total}]:
        cells = (row[k] for k in ("stage", "kills", "trials", "identical", "scratch_left"))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def determinism(found: dict[str, dict[str, bool]]) -> str:
    """Which stages keep their bytes under each variation."""
    stages = list(next(iter(found.values())))
    lines = [f"| varied | {' | '.join(stages)} |", f"| --- |{' --- |' * len(stages)}"]
    for name, same in found.items():
        cells = ({True: "same", False: "differs", None: ""}[same.get(stage)] for stage in stages)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    parts = {}
    for name, table in (("kills", kills), ("determinism", determinism)):
        file = FIGURES / f"{name}.json"
        if file.exists():
            parts[name] = table(json.loads(file.read_text()))
    write_text(PAGE, fill(text, parts))


if __name__ == "__main__":
    main()
