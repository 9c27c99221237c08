"""Progress with a rate and a time left, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from tqdm import tqdm


def progress(
    items: Iterable | None = None, total: int | None = None, desc: str = "", unit: str = "it"
) -> tqdm:
    """A tqdm bar over `items`, or one moved by hand with `.update(n)` when `items` is None.

    On a terminal it redraws twice a second, in a log file it adds a line every ten seconds.
    """
    return tqdm(
        items,
        total=total,
        desc=desc,
        unit=unit,
        dynamic_ncols=True,
        mininterval=0.5 if sys.stderr.isatty() else 10.0,
    )
