"""Check 3: whether vLLM's greedy text in 16 bits depends on the batch, with and without
`generation.batch_invariant`. Without vLLM, transformers stands in for it, in float32.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from stages.gpu_checks.models import SHAPE, SMALL, random_prompts, write_qwen
from stages.plumbing.errors import InputError

BATCHES = 125, 5  # prompts at once
WRITES = """
import json, sys, time
from stages.gpu_checks.generation import texts
folder, settings, output = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
with open(output, "w") as file:
    json.dump(texts(folder, **settings), file)
"""


def check_generation(folder: Path, cuda: bool) -> dict:
    """Texts that differ between large and small batches, and seconds, both ways; how many times the
    usual seconds batch invariance takes, by size of batch."""
    shape, kind = (SHAPE, "bfloat16") if cuda else (SMALL, "float32")
    model, metrics = write_qwen(folder / "model", shape, dtype=kind), {}
    count, written = (250, 128) if cuda else (10, 8)
    usual = {"cuda": cuda, "dtype": kind, "count": count, "new": written}
    for name, invariant in (("usual", False), ("invariant", True))[: 2 if cuda else 1]:
        found = _in_a_process(model, usual | {"invariant": invariant}, folder / f"{name}.json")
        large, small = found["texts"]
        differ = sum(one != other for one, other in zip(large, small, strict=True))
        metrics |= {f"{name}_differ": differ, f"{name}_seconds": found["seconds"]}
    if cuda:
        both = zip(metrics["invariant_seconds"], metrics["usual_seconds"], strict=True)
        metrics["invariant_over_usual"] = [round(one / other, 3) for one, other in both]
    metrics |= {"texts": count, "engine": found["engine"], "dtype": kind}
    exact = "invariant_differ" if cuda else "usual_differ"
    if metrics[exact]:
        raise InputError(
            f"{metrics[exact]} of {count} texts depend on the batch: leave "
            "'generation.batch_invariant' off here, and count labels as good for this run alone"
        )
    return metrics


def _in_a_process(model: Path, settings: dict, output: Path) -> dict:
    """`texts` in a process of its own: the engine reads its environment once."""
    command = [sys.executable, "-c", WRITES, str(model), json.dumps(settings), str(output)]
    if subprocess.run(command).returncode:
        raise InputError("the engine fails, its output above says why")
    return json.loads(output.read_text(encoding="utf-8"))


def texts(folder: str, *, cuda: bool, dtype: str, invariant: bool, count: int, new: int) -> dict:
    """What the engine writes in batches of each size, and the seconds of each. vLLM's build for
    CUDA runs on a card alone: without one transformers writes."""
    import time

    import torch

    prompts = random_prompts(Path(folder), count, 200 if cuda else 20)
    if cuda or (importlib.util.find_spec("vllm") and torch.version.cuda is None):
        from stages.engines.vllm_generator import VllmGenerator

        generator, name = (
            VllmGenerator(
                folder,
                device="cuda" if cuda else "cpu",
                dtype=dtype,
                batch_invariant=invariant,
                context=512,
                sampled=False,
            ),
            "vllm",
        )
    else:
        from stages.engines.generator import TransformersGenerator

        generator, name = TransformersGenerator(folder, dtype=dtype), "transformers"
    written, seconds = [], []
    for size in BATCHES:
        began, found = time.perf_counter(), []
        for first in range(0, count, size):
            part = prompts[first : first + size]
            found += generator.generate(part, stop=[], max_new_tokens=new)
        written.append(found)
        seconds.append(round(time.perf_counter() - began, 2))
    return {"texts": written, "seconds": seconds, "engine": name}
