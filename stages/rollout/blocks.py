"""The block `rollout` as an agent has it, its own values first, and how deep it searches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stages.params import OwnRollout, Rollout, read_block

OWN_LIMITS = "rollout.yaml"  # in an agent's folder: its values in place of the block's


def with_own(block: Rollout, own: OwnRollout) -> Rollout:
    """`block` with the values that `own` has."""
    return replace(block, **{name: value for name, value in vars(own).items() if value is not None})


def rollout_of(folder: str | Path, block: Rollout) -> Rollout:
    """The limits of the agent in `folder`: those of `block`, and before them its rollout.yaml's."""
    file = Path(folder) / OWN_LIMITS
    return with_own(block, read_block(file, OwnRollout)) if file.exists() else block


def search_depth(block: Rollout, wanted: int) -> int:
    """How many passages to search for so that `wanted` are left to show, or to rank."""
    shown_before = block.top_k * (block.max_searches - 1)
    return wanted + shown_before if block.new_results_only else wanted
