"""Load the agent of a stage as the generator that its folder calls for."""

from __future__ import annotations

from pathlib import Path

from stages import params
from stages.records import read_json
from stages.rollout.generator import Generator, TransformersGenerator, load_tokenizer

SCRIPTED = "scripted.json"


def load_agent(folder: str | Path, compute: params.Compute) -> Generator:
    """The language model in `folder`, on the device and with the threads of `compute`.

    A folder with scripted.json stands for the scripted policy of the synthetic world, the upper
    bound of the tables, which reads with the tokenizer of the model folder that the file names.
    """
    if (Path(folder) / SCRIPTED).exists():
        from stages.world.scripted import ScriptedGenerator

        return ScriptedGenerator(load_tokenizer(read_json(Path(folder) / SCRIPTED)["tokenizer"]))
    import torch

    torch.set_num_threads(compute.threads)
    return TransformersGenerator(folder, device=compute.device, batch_size=compute.generation_batch)
