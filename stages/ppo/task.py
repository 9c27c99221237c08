"""The task of a PPO trainer: its inputs and its result.

A trainer is a function `train(task) -> curves`: it teaches the agent `task.base` to answer
`task.questions` with the frozen retriever, leaves the trained agent as a plain transformers folder
(safetensors and tokenizer) in `task.model`, and returns its curves, one row a step, with the
columns of `step_metrics`. Killed, it goes on from what it keeps in `task.folder`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stages.common.records import Question
from stages.params import Advantage, Params

StepMetrics = dict[str, float]

LIMITED = ("cut", "refused", "lost")  # means a rollout: stages/rollout/limits.py
STEP_METRICS = (  # of one step, in this order
    *("step", "reward", "em", "searches", "response_length", "invalid", *LIMITED),
    *("kl", "entropy", "explained_variance", "policy_loss", "value_loss", "clip_fraction"),
)
OF_VALUES = ("explained_variance", "value_loss")  # those of a value model


def step_metrics(advantage: Advantage) -> tuple[str, ...]:
    """The columns of a training with this advantage."""
    there = advantage is Advantage.gae
    return tuple(name for name in STEP_METRICS if there or name not in OF_VALUES)


@dataclass(frozen=True)
class Task:
    """One training of the agent."""

    base: Path
    retriever: Path
    index: Path
    passages: Path
    questions: list[Question]
    params: Params
    seed: int
    folder: Path  # survives a kill, and belongs to this training alone
    log: Callable[[int, StepMetrics], None]  # told every step that this process makes, with its row

    @property
    def model(self) -> Path:
        """Where the trained agent is left."""
        return self.folder / "model"
