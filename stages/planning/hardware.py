"""Accelerators by their makers' figures, and how much of them each kind of work reaches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Accelerator:
    """Dense 16-bit operations a second in tera, and memory in GB."""

    name: str
    tera: float
    memory: int


ACCELERATORS = {
    a.name: a
    for a in (
        Accelerator("l4", 121, 24),
        Accelerator("rtx4090", 165, 24),
        Accelerator("a100", 312, 80),
        Accelerator("l40s", 362, 48),
        Accelerator("h100", 989, 80),
        Accelerator("h200", 989, 141),
        Accelerator("cpu", 0.2, 16),
    )
}

# Shares of the peak, assumed: training and reading a prompt are bound by arithmetic, writing token
# by token by memory, a small encoder by the cost of starting many kernels; searching is in 32 bits.
SHARES = {"training": 0.25, "reading": 0.4, "writing": 0.05, "encoding": 0.15, "searching": 0.03}
