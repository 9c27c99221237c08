"""Where a training by verl keeps its files: a folder that all its nodes must share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LATEST = "latest_checkpointed_iteration.txt"  # verl's name


@dataclass(frozen=True)
class Files:
    """Absolute paths below `folder`."""

    folder: Path

    @property
    def questions(self) -> Path:
        return self.folder / "questions.parquet"

    @property
    def tokenizer(self) -> Path:
        """A folder of its own: beside a model, transformers guesses the class by the model."""
        return self.folder / "tokenizer"

    @property
    def agent_loops(self) -> Path:
        """verl's list of agent loops, with ours in it."""
        return self.folder / "agent_loops.yaml"

    @property
    def settings(self) -> Path:
        """What our agent loop has to know."""
        return self.folder / "agent_loop.json"

    @property
    def counts(self) -> Path:
        """What is counted of the rollouts: see counts.py."""
        return self.folder / "counts"

    def figures(self, done: int) -> Path:
        """verl's own figures of the attempt that started after `done` steps."""
        return self.folder / f"figures-{done}.jsonl"

    def all_figures(self) -> list[Path]:
        """Those of every attempt."""
        return list(self.folder.glob("figures-*.jsonl"))

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        """verl's checkpoint of `step`."""
        return self.checkpoints / f"global_step_{step}"

    def done(self) -> int:
        """Steps that the last complete checkpoint has; 0 without one."""
        latest = self.checkpoints / LATEST
        return int(latest.read_text()) if latest.exists() else 0
