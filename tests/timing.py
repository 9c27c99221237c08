"""Whether time grows with a text and no faster, as a busy machine shows it too."""

import time
from collections.abc import Callable
from typing import TypeVar

Text = TypeVar("Text")
TRIES, ENOUGH = 12, 20.0  # seconds after which what is still too slow is called so
TRIFLE = 0.02  # seconds that mean nothing


def seconds(run: Callable[[Text], object], text: Text) -> float:
    """Processor time of `run(text)`."""
    began = time.process_time()
    run(text)
    return time.process_time() - began


def assert_linear(run: Callable[[Text], object], short: Text, long: Text, of: object) -> None:
    """`long`, twice as much as `short`, may take three times as long, where a square takes four.

    Other work on the machine only ever adds to a time: both are tried in turn until the best of
    each agree, and what is not linear never does. `short` is tried before and after `long`: work
    that ends in between would add to the first alone.
    """
    best, spent = [float("inf")] * 2, 0.0
    for _ in range(TRIES):
        before, longer, after = (seconds(run, text) for text in (short, long, short))
        best = [min(best[0], before, after), min(best[1], longer)]
        spent += before + longer + after
        if best[1] <= 3 * best[0] + TRIFLE:
            return
        if spent > ENOUGH:
            break
    raise AssertionError(f"{of}: {best[0]:.3f} s, twice as much {best[1]:.3f} s")
