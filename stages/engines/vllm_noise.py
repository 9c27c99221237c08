"""Keyed noise inside vLLM: the same samples as transformers', whatever shares the batch.

vLLM decodes greedily; this logits processor makes its argmax a sample. It runs in the engine's
processes, which import it by name.
"""

from __future__ import annotations

from functools import partial

import torch
from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

from stages.engines.gumbel import gumbel_noise, mixed_keys

KEY, TEMPERATURE = "noise_key", "noise_temperature"  # of SamplingParams.extra_args


class KeyedNoise(AdapterLogitsProcessor):
    """Adds the noise of a request's key to its logits / temperature; others stay as they are."""

    def is_argmax_invariant(self) -> bool:
        """It changes what is largest: that is its purpose."""
        return False

    def new_req_logits_processor(self, params):
        """What is applied to one request's logits at each step, or None."""
        if not params.extra_args or KEY not in params.extra_args:
            return None
        keys = mixed_keys([params.extra_args[KEY]])
        return partial(_noisy, keys, params.extra_args[TEMPERATURE])


def _noisy(
    keys: torch.Tensor,
    temperature: float,
    prompt: list[int],
    output: list[int],
    logits: torch.Tensor,
) -> torch.Tensor:
    """`logits` (vocabulary,) with noise. `output` is what was written so far: its length counts."""
    positions = torch.tensor([len(prompt) + len(output)], device=logits.device)
    noise = gumbel_noise(keys.to(logits.device), positions, logits.shape[0])[0]
    return logits / temperature + noise
