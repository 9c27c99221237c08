"""Whether vLLM can start with a language model: its weights, and the cache of one text, in the part
of a card that `compute.gpu_memory` leaves. Activations come on top.
"""

from __future__ import annotations

from collections.abc import Iterator

from stages.evaluation.blocks import evaluation_rollout
from stages.params import Engine, Params, RelevanceMode, VisitSource
from stages.planning.hardware import Accelerator
from stages.planning.sizes import Sizes

# Of Qwen2.5, by the size in a model's name: parameters, and numbers of the cache for each token.
QWEN = {
    0.5e9: (0.494e9, 6_144),
    1.5e9: (1.544e9, 14_336),
    3e9: (3.086e9, 18_432),
    7e9: (7.616e9, 28_672),
    14e9: (14.77e9, 98_304),
    32e9: (32.76e9, 131_072),
    72e9: (72.71e9, 163_840),
}
WINDOW = 32_768  # tokens that Qwen2.5 reads at once; the judge is given no limit of its own


def room(model: float, tokens: int, width: int = 2) -> float:
    """GB of a model of so many parameters by its name, and of the cache of one text. `width`: bytes
    of a number. Of a size that is not Qwen2.5's the cache is that of the next larger one."""
    parameters = QWEN[model][0] if model in QWEN else model
    larger = min((size for size in QWEN if size >= model), default=max(QWEN))
    return width * (parameters + QWEN[larger][1] * tokens) / 1e9


def too_large(params: Params, known: Sizes, accelerator: Accelerator) -> Iterator[str]:
    """A sentence for each model that vLLM cannot hold."""
    compute, generation = params.compute, params.generation
    if compute.device != "cuda" or (compute.engine or generation.engine) is not Engine.vllm:
        return
    longest = max(
        block.max_context_tokens for block in (params.rollout, evaluation_rollout(params))
    )
    models = [("agent", known.agent, min(longest, WINDOW), generation.tensor_parallel)]
    asked = params.relevance.mode is not RelevanceMode.off or params.visits.verify
    asked = asked or params.visits.source is VisitSource.judged
    if params.iterations and asked and compute.judge_url is None:
        models.append(("judge", known.judge, WINDOW, params.relevance.judge_tensor_parallel))
    share = compute.gpu_memory * accelerator.memory
    for name, model, tokens, devices in models:
        wanted = room(model, tokens, 4 if generation.dtype == "float32" else 2) / devices
        if wanted > share:
            yield (
                f"The {name} does not fit: weights and the cache for a text of {tokens:,} tokens "
                f"are {wanted:.1f} GB a device, and compute.gpu_memory={compute.gpu_memory:g} of "
                f"{accelerator.memory} GB is {share:.1f}."
            )
