"""docs/performance.md, written from the figures in metrics/benchmarks: tables of `make repro`
before and now, of peers, of growth, of workers that share an index, of waiting threads, and of what
portable sums cost.

    PYTHONPATH=.:tests python tests/benchmarks/performance.py
"""

from __future__ import annotations

import os
import platform
import statistics
from pathlib import Path

from stages.common.records import read_json, write_text

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "metrics/benchmarks"
PAGE = ROOT / "docs/performance.md"
OF_A_RUN = ", where FOLDER holds a finished laptop run"
HEAD = """\
# How fast, and beside whom
Written by `tests/benchmarks/performance.py` from `metrics/benchmarks/`. Each row has a peer that a
user would pick in our place. Ours and the peer's are measured in turns in one run, on one machine,
and a ratio is that of one turn: above 1 ours is faster. `limit` says what neither can pass.
"""


def machine() -> str:
    """The machine in general terms."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    load, held = os.getloadavg()[0], os.cpu_count()
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        held = len(os.sched_getaffinity(0))
    cores = f"{os.cpu_count()} cores" + (f" (held to {held})" if held < os.cpu_count() else "")
    return (
        f"{cores} of {next(names, platform.machine())}, no GPU; load average "
        f"{load:.1f} when it began" + (": a busy machine" if load > os.cpu_count() else "")
    )


def write_page() -> None:
    """Write the page from the figures that are there."""
    sections = {"repro": _repro, "peers": _peers, "growth": _growth, "sharing": _sharing}
    sections |= {"waiting": _waiting, "portable": _portable}
    files = {BENCHMARKS / f"{name}.json": section for name, section in sections.items()}
    known = [section(read_json(file)) for file, section in files.items() if file.exists()]
    parts = [HEAD, *known]
    write_text(PAGE, "\n".join(parts))


def _section(lines: list[str], script: str, where: str = "") -> str:
    """The lines of a table, and the command that measures it again."""
    again = f"`PYTHONPATH=.:tests python tests/benchmarks/{script}`"
    return "\n".join([*lines, "", f"Again: {again}{where}.", ""])


def _span(row: dict) -> str:
    return f"{row['ratio']:.2f} ({row['lowest']:.2f} to {row['highest']:.2f})"


def _repro(metrics: dict) -> str:
    runs = metrics["runs"]
    lines = [
        "\n## `make repro`, before and now\nFrom a new clone, seconds by stage, medians of runs in "
        f"turns; before is {metrics['before']} (version 0.1.0). {metrics['machine']}. "
        f"{metrics['same']} of {len(runs['now'])} runs of today's commit ended with "
        '"every output is byte for byte the committed run". "As torch comes": without '
        "`compute.portable`. An empty cell: DVC had nothing to run, as all that the stage reads "
        "and writes was there as committed.\n",
        f"| stage | {' | '.join(runs)} |",
        "| --- |" + " --- |" * len(runs),
    ]
    for stage in dict.fromkeys(
        name for way in runs.values() for run in way for name in run["stages"]
    ):
        cells = (_middle(way, stage) for way in runs.values())
        lines.append(f"| `{stage}` | {' | '.join(cells)} |")
    for name, of in (("outside stages", _outside), ("all", lambda run: run["total"])):
        spans = (_range([of(run) for run in found]) for found in runs.values())
        lines.append(f"| {name} | {' | '.join(spans)} |")
    return _section(lines, f"repro.py --before {metrics['before']}")


def _middle(runs: list[dict], stage: str) -> str:
    """The median of a stage's seconds over the runs that had it to run; nothing where none had."""
    seconds = [run["stages"][stage] for run in runs if stage in run["stages"]]
    return f"{statistics.median(seconds):g}" if seconds else ""


def _outside(run: dict) -> float:
    """Seconds of a run before its first stage and after its last."""
    return run["total"] - sum(run["stages"].values())


def _range(values: list[float]) -> str:
    middle = f"{statistics.median(values):.0f}"
    return f"{middle} ({min(values):.0f} to {max(values):.0f})" if len(values) > 1 else middle


def _peers(metrics: dict) -> str:
    lines = [
        f"\n## Peers\n{metrics['machine']}.\n",
        "| what | unit | ours | peer | peer's | ratio (lowest to highest) | limit |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in metrics["rows"]:
        cells = (row["what"], row["unit"], f"{row['ours']:g}", row["peer"], f"{row['theirs']:g}")
        lines.append(f"| {' | '.join(cells)} | {_span(row)} | {row['limit']} |")
    return _section(lines, "peers.py --run FOLDER", OF_A_RUN)


def _growth(metrics: dict) -> str:
    lines = [
        "\n## Growth\nProcessor seconds and the most memory at 1, 4 and 16 times the questions and "
        f"passages. {metrics['machine']}. Time that grows in proportion has the exponent 1. Of the "
        "report a question is one of a test set, asked under six pairs.\n",
        "| stage | questions | seconds | MB | exponent of time | bytes a question |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in metrics["stages"].items():
        columns = (
            ", ".join(f"{size[key]:g}" for size in row["sizes"])
            for key in ("questions", "seconds", "megabytes")
        )
        grown = f"{row['time_exponent']:.2f} | {row['bytes_a_question']:,}"
        lines.append(f"| `{name}` | {' | '.join(columns)} | {grown} |")
    return _section(lines, "growth.py --work FOLDER")


def _sharing(metrics: dict) -> str:
    names = {
        "shared": "two workers, the retriever server that the stage starts for both",
        "own": "two workers, each with the index open",
        "one process": "one process of two threads",
    }
    lines = [
        f"\n## Workers and the index\nThe stage `candidates`: {metrics['queries']:,} queries to "
        f"{metrics['passages']:,} passages, Ray's start and imports among it, the same bytes each "
        f"way; medians. {metrics['machine']}. Vectors lie in a file that processes of one machine "
        "share in memory, so an index in each worker costs little here; on cards each would hold "
        "its own.\n",
        "| searched by | seconds | MB in all | MB that are no file's | ratio (lowest to highest) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for way, row in metrics["ways"].items():
        figures = f"{row['seconds']:g} | {row['megabytes']:.0f} | {row['megabytes_own']:.0f}"
        lines.append(f"| {names[way]} | {figures} | {_span(row)} |")
    return _section(lines, "sharing.py --work FOLDER")


def _waiting(metrics: dict) -> str:
    lines = [
        "\n## Waiting threads, and runs side by side\nRollouts a second that PPO learns from in "
        "all trainings that run, each with two threads; the ratio is to one training. "
        f"{metrics['machine']}. Threads that wait for each other go to sleep after a while, and to "
        "wake one takes a virtual machine long: where nothing else runs, `OMP_WAIT_POLICY=active` "
        "before a command lets them spin; beside other work it makes them slower. Runs side by "
        "side use the cores best. None of this changes a byte.\n",
        "| setting | rollouts a second | ratio (lowest to highest) |",
        "| --- | --- | --- |",
    ]
    for row in metrics["rows"]:
        lines.append(f"| {row['what']} | {row['rate']:g} | {_span(row)} |")
    return _section(lines, "waiting.py --run FOLDER", OF_A_RUN)


def _portable(metrics: dict) -> str:
    lines = [
        "\n## What portable sums cost\nEach stage of the laptop run with `compute.portable` and "
        "without, on the same inputs, in turns; the least of "
        f"{metrics['rounds']} runs. {metrics['machine']}. A ratio above 1: portable sums are "
        "slower.\n",
        "| stage | portable: seconds, of processors | as torch comes | ratio, of processors |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in metrics["stages"].items():
        ours, theirs = (
            f"{row[mode]['seconds']:g}, {row[mode]['processor_seconds']:g}"
            for mode in ("portable", "as torch comes")
        )
        ratios = f"{row['ratio']:.2f}, {row['processor_ratio']:.2f}"
        lines.append(f"| `{name}` | {ours} | {theirs} | {ratios} |")
    return _section(lines, "portable.py --run FOLDER")


if __name__ == "__main__":
    write_page()
