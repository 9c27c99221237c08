"""What travels to the loss as whole numbers, which labels must be."""

from __future__ import annotations

import struct
from collections.abc import Sequence

NONE = -1  # the number of no passage: fills up a row of numbers


def as_numbers(weights: Sequence[float]) -> list[int]:
    """Weights as whole numbers: the bits of each in float32. The loss reads them back."""
    return list(struct.unpack(f"={len(weights)}i", struct.pack(f"={len(weights)}f", *weights)))
