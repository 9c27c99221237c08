"""Load the agent or the judge with the engine that the parameters name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stages.common import portable
from stages.common.records import read_json
from stages.engines.generator import Generator, TransformersGenerator
from stages.engines.tokenizer import load_tokenizer
from stages.params import Compute, Engine, Generation
from stages.plumbing.errors import InputError

SCRIPTED = "scripted.json"


def load_agent(
    folder: str | Path,
    generation: Generation,
    compute: Compute,
    *,
    context: int | None = None,
    sampled: bool = False,
) -> Generator:
    """The language model in `folder`, by the engine of `generation` or, where it is set, `compute`.

    `context`: tokens that prompt and reply never exceed together, where a limit says so; vLLM keeps
    room for no more. `sampled`: whether it is asked for samples by key, beside greedy text.

    A folder with scripted.json stands for the scripted policy of the synthetic world, the upper
    bound of the tables, which reads with the tokenizer of the model folder that the file names.
    """
    if (Path(folder) / SCRIPTED).exists():
        from stages.scripted.generator import ScriptedGenerator

        about = read_json(Path(folder) / SCRIPTED)
        named = about.get("tokenizer") if isinstance(about, dict) else None
        if not isinstance(named, str):
            raise InputError(
                f"{Path(folder) / SCRIPTED}: expected an object whose 'tokenizer' is a model folder"
            )
        return ScriptedGenerator(load_tokenizer(named))
    portable.start_computing(compute)
    weights = {"device": compute.device, "dtype": generation.dtype}
    if (compute.engine or generation.engine) is Engine.vllm:
        from stages.engines.vllm_generator import VllmGenerator

        return VllmGenerator(
            folder,
            **weights,
            tensor_parallel=generation.tensor_parallel,
            batch_invariant=generation.batch_invariant,
            gpu_memory=compute.gpu_memory,
            context=context,
            sampled=sampled,
        )
    return TransformersGenerator(folder, **weights, batch_size=compute.generation_batch)


def load_judge(
    folder: str | Path, generation: Generation, compute: Compute, devices: int = 1
) -> Generator:
    """The judging language model of `folder`: here, one copy on `devices` devices, or at
    `compute.judge_url` if that is set.
    """
    if compute.judge_url is None:
        own = replace(generation, tensor_parallel=devices)
        return load_agent(folder, own, compute, sampled=True)  # retries are drawn
    from stages.engines.endpoint_generator import EndpointGenerator

    return EndpointGenerator(folder, compute.judge_url, concurrency=compute.generation_batch)


def judge_devices(devices: int, compute: Compute) -> int:
    """How many devices of this machine `load_judge` takes, if `compute.device` is one."""
    return devices if compute.judge_url is None else 0
