"""Save a training's state: a checkpoint is complete or absent, even after a power cut."""

from __future__ import annotations

import os
from pathlib import Path

from stages.plumbing.errors import InputError
from stages.plumbing.reasons import reason


def save(state: dict, path: Path) -> None:
    """Write tensors and plain values; what is killed meanwhile finds the state before."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.part")
    with open(temporary, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load(path: Path) -> dict | None:
    """The state in `path`; None where there is none. InputError if it cannot be read."""
    import torch

    if not path.exists():
        return None
    try:
        return torch.load(path, weights_only=True)
    except Exception as error:  # of no class of its own: pickle, zip and torch each raise another
        raise InputError(
            f"{path}: cannot be read as a checkpoint ({reason(error)}): delete it, and the stage "
            "begins anew"
        ) from None
