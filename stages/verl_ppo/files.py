"""The files of a verl training, in a folder that all nodes share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stages.plumbing.errors import InputError

LATEST = "latest_checkpointed_iteration.txt"  # verl's name
SHARDS = ("model", "optim", "extra_state")  # of each model of a checkpoint


@dataclass(frozen=True)
class Files:
    """Absolute paths below `folder`; `critic`: whether checkpoints have one."""

    folder: Path
    critic: bool = True

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

    def metrics(self, done: int) -> Path:
        """verl's own figures of the attempt that started after `done` steps."""
        return self.folder / f"metrics-{done}.jsonl"

    def all_metrics(self) -> list[Path]:
        """Those of every attempt."""
        return list(self.folder.glob("metrics-*.jsonl"))

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        """verl's checkpoint of `step`."""
        return self.checkpoints / f"global_step_{step}"

    @property
    def lock(self) -> Path:
        """Held by verl's program as long as it runs."""
        return self.folder / "verl.lock"

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, whole or not, in order."""
        folders = self.checkpoints.glob("global_step_*")
        return sorted(int(folder.name.rpartition("_")[2]) for folder in folders)

    def tracked(self) -> int:
        """The step that verl noted when its last checkpoint was complete; 0 without a note."""
        latest = self.checkpoints / LATEST
        text = latest.read_text().strip() if latest.exists() else ""
        return int(text) if text.isdecimal() else 0  # empty for a moment while verl writes it

    def done(self) -> int:
        """Steps of the checkpoint to go on from; 0 without one. InputError if none is complete.

        It is the noted one, unless a kill tore it or the note.
        """
        if not (self.checkpoints / LATEST).exists():
            return 0
        for step in (self.tracked(), *reversed(self.steps())):
            if self.world_size(step):
                return step
        raise InputError(
            f"{self.checkpoints}: holds no complete checkpoint to go on from; remove {self.folder} "
            "to start the training anew"
        )

    def world_size(self, step: int) -> int | None:
        """How many GPUs wrote the checkpoint of `step`, which is in as many shards; None where a
        part of it is missing.
        """
        folder = self.checkpoint(step)
        shards = [file.name for file in folder.glob("actor/model_world_size_*_rank_0.pt")]
        if not shards:
            return None
        size = int(shards[0].split("_")[3])
        parts = [
            folder / role / f"{kind}_world_size_{size}_rank_{rank}.pt"
            for role in ("actor", *["critic"] * self.critic)
            for kind in SHARDS
            for rank in range(size)
        ]
        return size if all(part.exists() for part in (*parts, folder / "data.pt")) else None
