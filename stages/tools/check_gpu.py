"""Prove the GPU path on this machine: five checks, thirty minutes on one card at most, no network.

    python -m stages.tools.check_gpu

Each check gets ten minutes, or what is left of the thirty. Without a GPU each goes "up to CUDA":
imports, models, configurations, arguments. On a card the figures are written to
metrics/benchmarks/gpu.json. Ends with a table, and with 1 where one failed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from stages.plumbing.errors import run

OUTPUT = Path("metrics/benchmarks/gpu.json")
LIMIT, WHOLE = 600, 1800  # seconds of one check, and of all together
GRACE = 20.0  # seconds for what a check started to end by itself
CHECKS = {  # and what each proves on a card
    "card": "driver, one CUDA, vLLM's allocator and faiss load",
    "search": "the card finds what the processor finds; IVF-PQ by faiss; a flywheel",
    "generation": "greedy text in 16 bits is the same in batches of 125 and of 5",
    "ppo": "verl and vLLM: weights arrive, sleep; a killed training leaves the card and goes on",
    "scale": "the size and the lengths of scale=gpu fit and run",
}


def main(argv: list[str] | None = None) -> None:
    """Run the checks that are named, all by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checks", nargs="*", help=f"of {', '.join(CHECKS)}; default: all")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="of the figures, on a card")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)  # a check in this process
    args = parser.parse_args(argv)
    if unknown := set(args.checks) - set(CHECKS):
        parser.error(f"no check is called {', '.join(sorted(unknown))}: see --help")

    import torch

    cuda = torch.cuda.is_available()
    if args.alone is not None:
        _alone(args.checks[0], args.alone, cuda)
        return
    end = time.monotonic() + WHOLE
    rows = {name: _row(name, end - time.monotonic()) for name in args.checks or CHECKS}
    if cuda:
        from stages.common.records import write_json

        write_json(args.output, {"checks": rows, "torch": torch.__version__})
    _show(rows, cuda)
    if any(row["error"] for row in rows.values()):
        sys.exit(1)


def _row(name: str, left: float) -> dict:
    """What came of a check, in a process of its own: it leaves the card to the next. `left`: the
    seconds that it may take, if they are fewer than LIMIT."""
    began = time.perf_counter()
    if left < 1:
        return {"seconds": 0.0, "error": f"no time was left of {WHOLE} seconds", "metrics": {}}
    with tempfile.TemporaryDirectory(prefix=f"check-{name}-") as folder:
        told = Path(folder) / "metrics.json"
        command = [sys.executable, "-m", "stages.tools.check_gpu", name, "--alone", folder]
        said, failed = _run(command, min(LIMIT, left), Path(folder) / "errors")
        metrics = json.loads(told.read_text()) if told.exists() else {}
    if failed:
        print(said, file=sys.stderr)
    lines = [line for line in said.splitlines() if line.strip()]
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "error": (lines or ["ended early"])[-1] if failed else None,
        "metrics": metrics,
    }


def _run(command: list[str], limit: float, errors: Path) -> tuple[str, bool]:
    """What a command wrote to `errors`, and whether it failed. What it started ends with it where
    it takes longer than `limit`, or where somebody interrupts."""
    with open(errors, "w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stderr=file, start_new_session=True)
    failed, more = True, ""
    try:
        failed = process.wait(limit) != 0
    except subprocess.TimeoutExpired:
        whole = "" if limit == LIMIT else f", all that was left of {WHOLE}"
        more = f"took over {limit:.0f} seconds{whole}"
    finally:
        if process.poll() is None:
            _end(process)
    said = errors.read_text(encoding="utf-8", errors="replace").rstrip()
    return "\n".join(filter(None, [said, more])), failed


def _end(process: subprocess.Popen) -> None:
    """End it and what it started: verl's program is asked, so that it ends Ray's."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + GRACE
        while time.monotonic() < until:
            try:
                os.killpg(process.pid, sign)
            except ProcessLookupError:
                return
            process.poll()
            sign = 0  # whether any is left
            time.sleep(0.1)


def _alone(name: str, folder: Path, cuda: bool) -> None:
    from stages.common.records import write_json

    work = folder / "work"
    work.mkdir()
    write_json(folder / "metrics.json", _function(name)(work, cuda))


def _function(name: str) -> Callable[[Path, bool], dict]:
    from stages.gpu_checks.card import check_card
    from stages.gpu_checks.generation import check_generation
    from stages.gpu_checks.ppo import check_ppo
    from stages.gpu_checks.scale import check_scale
    from stages.gpu_checks.search import check_search

    checks = (check_card, check_search, check_generation, check_ppo, check_scale)
    return dict(zip(CHECKS, checks, strict=True))[name]


def _show(rows: dict[str, dict], cuda: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("check", "what it proves on a card", "outcome", "seconds", "metrics"):
        table.add_column(title, overflow="fold")
    for name, row in rows.items():
        good = "passed" if cuda else "up to CUDA"
        metrics = ", ".join(f"{key} {value}" for key, value in row["metrics"].items())
        outcome = good if row["error"] is None else "failed"
        table.add_row(name, CHECKS[name], outcome, f"{row['seconds']:g}", metrics)
    console = Console(highlight=False, width=100)
    console.print(table)
    for name, row in rows.items():
        if row["error"] is not None:
            console.print(f"{name}: {row['error']}", markup=False, soft_wrap=True)
            console.print(f"Mend it, then: python -m stages.tools.check_gpu {name}")


if __name__ == "__main__":
    run(main)
