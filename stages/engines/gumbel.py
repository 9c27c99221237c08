"""Sampling that no batch, engine or order can change: Gumbel-max with noise of a key.

The noise of a token is a hash of (key of the prompt, position in its sequence, token), and the
token whose logit / temperature + noise is largest is an exact sample of the softmax.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor


def gumbel_noise(keys: torch.Tensor, positions: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """Gumbel noise (rows, vocabulary), float32.

    `keys`: of `mixed_keys`, (rows,). `positions`: tokens before the one drawn, (rows,) int64.
    """
    rows = _mix(keys + positions * _GOLDEN)  # (rows,)
    tokens = torch.arange(vocabulary, device=keys.device) * _GOLDEN  # (vocabulary,)
    bits = _mix(rows[:, None] + tokens) & 0xFFFFFFFF
    uniform = bits.float().add_(0.5).mul_(2.0**-32).clamp_(max=1 - 2.0**-24)
    return -torch.log(-torch.log1p(-uniform))


def mixed_keys(keys: Sequence[int]) -> torch.Tensor:
    """Keys of any size as `gumbel_noise` takes them, (rows,) int64."""
    return _mix(torch.tensor([key % 2**64 - 2**63 for key in keys], dtype=torch.int64))


class GumbelNoise(LogitsProcessor):
    """transformers' hook: the argmax of what it returns is a sample of each row's key."""

    def __init__(self, keys: Sequence[int], mask: torch.Tensor, temperature: float):
        self.keys = mixed_keys(keys)  # (rows,)
        self.padding = (mask == 0).sum(1)  # (rows,)
        self.temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """`scores` (rows, vocabulary) with noise; `input_ids` (rows, padding + length so far)."""
        self.keys, self.padding = self.keys.to(scores.device), self.padding.to(scores.device)
        positions = input_ids.shape[1] - self.padding
        return scores / self.temperature + gumbel_noise(self.keys, positions, scores.shape[1])


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


def _mix(value: torch.Tensor) -> torch.Tensor:
    """SplitMix64's finaliser on int64, whose products wrap around."""
    value = (value ^ _shift(value, 30)) * _FIRST
    value = (value ^ _shift(value, 27)) * _SECOND
    return value ^ _shift(value, 31)


def _shift(value: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical shift to the right."""
    return (value >> bits) & (2 ** (64 - bits) - 1)
