"""List what interrupted stages left in tmp/scratch, and delete it where it is stale.

    python -m stages.tools.clean                    # list
    python -m stages.tools.clean --delete           # delete what no running stage holds
    python -m stages.tools.clean --delete --days 7  # only what has not changed for a week

A stage that is started again with the same inputs, parameters and code goes on from its folder, so
delete what you do not want to go on with. Finished stages leave nothing.
"""

from __future__ import annotations

import argparse
import shutil
import time

from stages.plumbing.errors import run
from stages.running import scratch
from stages.running.scratch import Leftover

DAY = 86_400  # seconds


def main(argv: list[str] | None = None) -> None:
    """List, and delete if told to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--delete", action="store_true")
    parser.add_argument("--days", type=float, default=0.0, help="unchanged for so many days")
    args = parser.parse_args(argv)
    now, freed = time.time(), 0
    for leftover in scratch.leftovers():
        stale = not leftover.running and now - leftover.changed >= args.days * DAY
        if stale and args.delete:
            shutil.rmtree(scratch.ROOT / leftover.name)
            freed += leftover.size
        print(_line(leftover, now, "deleted" if stale and args.delete else None))
    if args.delete:
        print(f"{freed / 1e6:.1f} MB freed")


def _line(leftover: Leftover, now: float, done: str | None) -> str:
    state = done or ("running" if leftover.running else "interrupted")
    hours = (now - leftover.changed) / 3600
    return f"{state:<12}{leftover.size / 1e6:>10.1f} MB{hours:>8.1f} h ago  {leftover.name}"


if __name__ == "__main__":
    run(main)
