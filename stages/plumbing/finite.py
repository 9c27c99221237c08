"""Reject NaN and infinity: the one error for them, and the checks that raise it.

A training that diverges goes on without a word: a loss of NaN makes weights of NaN, and those make
vectors, texts and figures of the usual form. So trainings look at every step, and what a stage
writes is looked at before it becomes an output.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stages.plumbing.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn


class NotFinite(InputError):
    """A figure, a weight, a vector or a score is NaN or infinite."""


class Watch:
    """The figures of a training, step by step; `name` opens its messages."""

    def __init__(self, name: str):
        self.name = name
        # parameter -> figure -> its last step and finite value
        self._last: dict[str, dict[str, tuple[int, float]]] = {}

    def see(self, step: int, lower: str, metrics: dict[str, float | None]) -> None:
        """Take the named figures of `step`, counted from 1. NotFinite for one that is not finite
        (or None, as some files say it): then the parameter `lower` is too high.
        """
        for name, value in metrics.items():
            if value is None or not math.isfinite(value):
                raise self.diverged(step, f"{name} is {value}", lower)
            self._last.setdefault(lower, {})[name] = step, value

    def see_weights(self, step: int, model: nn.Module, lower: str) -> None:
        """NotFinite if a weight of `model` is not finite after `step`."""
        problem = broken_weights(model.named_parameters())
        if problem is not None:
            raise self.diverged(step, problem, lower)

    def diverged(self, step: int, problem: str, lower: str) -> NotFinite:
        """The error of a training in which `problem` showed at `step`."""
        known = self._last.get(lower, {})
        told = [f"{name} {value:.4g} in step {at}" for name, (at, value) in known.items()]
        last = f"last finite: {', '.join(told)}" if told else "nothing was finite before"
        return NotFinite(f"{self.name}, step {step}: {problem} ({last}); lower '{lower}'")


def broken_weights(weights: Iterable[tuple[str, Tensor]]) -> str | None:
    """What is wrong with named tensors of which one is not finite; None if all are."""
    import torch

    count, broken = 0, []
    for name, tensor in weights:
        count += 1
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            broken.append(name)
    if not broken:
        return None
    return f"{len(broken)} of {count} weight tensors are not finite, as '{broken[0]}'"


def saved_weights(folder: str | Path) -> Iterator[tuple[str, Tensor]]:
    """The named tensors of the safetensors files in a model folder, one at a time."""
    from safetensors import safe_open

    for file in sorted(Path(folder).rglob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            names = tensors.keys()
            for name in names:
                yield name, tensors.get_tensor(name)
