"""Put what was measured of reliability into docs/reliability.md, between its marks.

    PYTHONPATH=.:tests python -m write_reliability

Reads metrics/reliability/*.json, which kill_stages, vary_compute, load_server, cluster_faults,
remote_round_trip and portable_stages write.
"""

import json
from pathlib import Path

from stages.common.records import write_text
from stages.studies.markdown import fill

METRICS = Path("metrics/reliability")
PAGE = Path("docs/reliability.md")


def kills(rows: list[dict]) -> str:
    """Stage, kills, and how many ends had the same bytes."""
    lines = [
        "| stage | kills | ends | identical | scratch left |",
        "| --- | --- | --- | --- | --- |",
    ]
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


def server(found: dict) -> str:
    """Requests by what clients did and what they got, and the server's memory."""
    lines = ["| client | what it got |", "| --- | --- |"]
    for client, outcomes in found["outcomes"].items():
        got = ", ".join(f"{name}: {count:,}" for name, count in outcomes.items())
        lines.append(f"| {client.replace('_', ' ')} | {got} |")
    memory = " / ".join(f"{found['memory_mb'][part]:.0f}" for part in ("25%", "50%", "100%"))
    lines += [
        "",
        f"{found['requests']:,} requests in {found['seconds']:.0f} s, {found['server_errors']} "
        f"errors of the server, {len(found['unexpected'])} unexpected outcomes; memory after "
        f"25, 50 and 100 % of the time: {memory} MB.",
    ]
    return "\n".join(lines) + "\n"


def cluster(found: list[dict]) -> str:
    """What each fault ended in."""
    lines = ["| fault | seconds | what it ends in |", "| --- | --- | --- |"]
    for row in found:
        ended = row["ended"].removeprefix("error: ").replace("|", "/")
        lines.append(f"| {row['fault']} | {row['seconds']} | {ended} |")
    return "\n".join(lines) + "\n"


def remote(steps: list[dict]) -> str:
    """What each step ran and moved."""
    lines = ["| step | seconds | stages run | files | MB |", "| --- | --- | --- | --- | --- |"]
    for step in steps:
        ran = step["stages_run"]
        names = str(len(ran)) if len(ran) > 8 else ", ".join(ran) or "none"
        moved = f"{step['files']} | {step['bytes'] / 1e6:.1f}"
        lines.append(f"| `{step['step']}` | {step['seconds']:.0f} | {names} | {moved} |")
    return "\n".join(lines) + "\n"


def emulated(rows: list[dict]) -> str:
    """How many digests each emulated processor shares with the kept ones."""
    lines = [
        "| processor | operations | outputs of stages | not the kept bytes | minutes |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        wrong = ", ".join(row["wrong"]) or "none"
        counts = f"{row['operations']} | {row['stages']} | {wrong} | {row['minutes']:.0f}"
        lines.append(f"| {row['processor']} | {counts} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parts = {
        table.__name__: table(json.loads((METRICS / f"{table.__name__}.json").read_text()))
        for table in (kills, determinism, server, cluster, remote, emulated)
        if (METRICS / f"{table.__name__}.json").exists()
    }
    write_text(PAGE, fill(PAGE.read_text(encoding="utf-8"), parts))


if __name__ == "__main__":
    main()
