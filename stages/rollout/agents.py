"""Load the agent of a stage as the generator that its folder calls for."""

from __future__ import annotations

from pathlib import Path

from stages import params
from stages.rollout.generator import TransformersGenerator


def load_agent(folder: str | Path, compute: params.Compute) -> TransformersGenerator:
    """The language model in `folder`, on the device and with the threads of `compute`."""
    import torch

    torch.set_num_threads(compute.threads)
    return TransformersGenerator(folder, device=compute.device, batch_size=compute.generation_batch)
