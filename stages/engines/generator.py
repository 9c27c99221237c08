"""What writes an agent's turns and a judge's replies: one small interface, and transformers.

In float32, greedy output depends on the prompt alone, sampled output on the prompt and its key:
neither on the batch, so rollouts may be batched, deduplicated and resumed freely, nor on the engine
(vllm_generator.py). In 16 bits near ties may fall out otherwise in another batch (docs/scale.md).
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from stages.common.linear import make_portable
from stages.common.models import check_whole, loading
from stages.engines.description import describe_model
from stages.engines.gumbel import GumbelNoise
from stages.engines.replies import before_end, distinct
from stages.engines.roomy_cache import roomy_cache
from stages.engines.stopping import StopText, closing_tokens
from stages.plumbing.finite import NotFinite


class Generator(typing.Protocol):
    """Continues prompts."""

    tokenizer: PreTrainedTokenizerBase
    window: int  # tokens of prompt and reply together that the model can read

    def generate(
        self,
        prompts: Sequence[list[int]],
        *,
        stop: Sequence[str],
        max_new_tokens: int,
        temperature: float = 0.0,
        keys: Sequence[int] | None = None,
    ) -> list[list[int]]:
        """The new token ids of each prompt, up to the token that completes a stop string (kept),
        the end of text (stripped), `max_new_tokens` or the model's window.

        `temperature` 0 is greedy. Above 0 each prompt needs a key: prompt and key fix the sample.
        """
        ...


class BrokenLogits(NotFinite):
    """The logits of a language model are NaN or infinite."""


class FiniteLogits(LogitsProcessor):
    """Notes in `broken`, on the device, which rows had a greatest logit that is not finite; of NaN
    a greedy choice would make a token as of any other number.
    """

    def __init__(self):
        self.broken: torch.Tensor | None = None  # (rows,)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        broken = ~torch.isfinite(scores.amax(dim=-1))
        self.broken = broken if self.broken is None else self.broken | broken
        return scores


class TransformersGenerator:
    """A causal language model in this process; `model` may be trained between calls.

    Weights come from safetensors, as `dtype`. Sampling settings in the folder (temperature,
    repetition penalty...) are ignored.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        batch_size: int = 64,
        top_p: float = 1.0,
    ):
        """`top_p`: samples are drawn from the most likely tokens of so much probability."""
        about = describe_model(folder)
        self.name = str(folder)
        self.tokenizer, self.window, self._ends = about.tokenizer, about.window, about.ends
        with loading(about.path):
            model, found = AutoModelForCausalLM.from_pretrained(
                about.path,
                dtype=getattr(torch, dtype),
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        check_whole(about.path, found)
        self.model = make_portable(model.to(device).eval())
        self.batch_size, self.top_p = batch_size, top_p
        pad = self.tokenizer.pad_token_id
        self._pad = pad if pad is not None else min(self._ends, default=0)
        self.model.generation_config = GenerationConfig(
            eos_token_id=sorted(self._ends) or None, pad_token_id=self._pad
        )
        self._closing: dict[tuple[str, ...], torch.Tensor] = {}

    def generate(
        self,
        prompts: Sequence[list[int]],
        *,
        stop: Sequence[str],
        max_new_tokens: int,
        temperature: float = 0.0,
        keys: Sequence[int] | None = None,
    ) -> list[list[int]]:
        """See Generator. Equal prompts (with equal keys) are generated once; a prompt that fills
        the window gives no token. BrokenLogits if the model gives such."""
        items, todo = distinct(prompts, keys, temperature, self.window)
        done: dict = {}
        training = self.model.training
        self.model.eval()
        for start in range(0, len(todo), self.batch_size):
            batch = todo[start : start + self.batch_size]
            done.update(
                zip(batch, self._batch(batch, stop, max_new_tokens, temperature), strict=True)
            )
        self.model.train(training)
        return [list(done.get(item, [])) for item in items]

    @torch.inference_mode()
    def _batch(self, batch, stop, max_new_tokens: int, temperature: float) -> list[list[int]]:
        width = len(batch[-1][0])
        ids = torch.full((len(batch), width), self._pad)
        mask = torch.zeros_like(ids)
        for row, (prompt, _) in enumerate(batch):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        stopping = StopText(stop, self.tokenizer, self._closing_tokens(tuple(stop)), width)
        logits = FiniteLogits()
        processors = LogitsProcessorList([logits])
        if temperature > 0:
            if self.top_p < 1:  # of what the temperature leaves
                processors += [TemperatureLogitsWarper(temperature), TopPLogitsWarper(self.top_p)]
                temperature = 1.0
            processors.append(GumbelNoise([key for _, key in batch], mask, temperature))
        device = self.model.device
        config = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=sorted(self._ends) or None,
            pad_token_id=self._pad,
        )
        output = self.model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            past_key_values=roomy_cache(self.model, width + max_new_tokens),
            generation_config=config,
            logits_processor=processors,
            stopping_criteria=StoppingCriteriaList([stopping]),
        )
        if logits.broken is not None and bool(logits.broken.any()):
            kind = str(self.model.dtype).removeprefix("torch.")
            raise BrokenLogits(
                f"{self.name}: the language model gives logits that are not finite: its weights "
                f"are broken, or {kind} is too narrow for it ('generation.dtype')"
            )
        rows = output[:, width:].tolist()
        ends = [
            min(self.window - len(prompt), stopping.ends.get(row, max_new_tokens))
            for row, (prompt, _) in enumerate(batch)
        ]
        return [before_end(row[:end], self._ends) for row, end in zip(rows, ends, strict=True)]

    def _closing_tokens(self, stop: tuple[str, ...]) -> torch.Tensor:
        if stop not in self._closing:
            closing = closing_tokens(
                stop, self.tokenizer, self.model.config.get_text_config().vocab_size
            )
            self._closing[stop] = closing.to(self.model.device)
        return self._closing[stop]
