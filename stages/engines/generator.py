"""What writes an agent's turns and a judge's replies: one small interface, and transformers.

Greedy output depends on the prompt alone, sampled output on the prompt and its key: never on the
batch, so rollouts may be batched, deduplicated and resumed freely. In float32 it does not depend
on the engine either (vllm_generator.py).
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
    StoppingCriteriaList,
)

from stages.common.models import model_path
from stages.engines.gumbel import GumbelNoise
from stages.engines.replies import before_end, distinct, end_ids, window_of
from stages.engines.stopping import StopText, closing_tokens
from stages.engines.tokenizer import load_tokenizer


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
    ):
        path = model_path(folder)
        self.tokenizer = load_tokenizer(folder)
        self.model = AutoModelForCausalLM.from_pretrained(
            path, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=False
        ).to(device)
        self.model.eval()
        self.batch_size = batch_size
        self.window = window_of(self.model.config)
        self._ends = end_ids(path, self.model.config, self.tokenizer)
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
        the window gives no token."""
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
        processors = LogitsProcessorList()
        if temperature > 0:
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
            generation_config=config,
            logits_processor=processors,
            stopping_criteria=StoppingCriteriaList([stopping]),
        )
        rows = output[:, width:].tolist()
        ends = [
            min(self.window - len(prompt), stopping.ends.get(row, max_new_tokens))
            for row, (prompt, _) in enumerate(batch)
        ]
        return [before_end(row[:end], self._ends) for row, end in zip(rows, ends, strict=True)]

    def _closing_tokens(self, stop: tuple[str, ...]) -> torch.Tensor:
        if stop not in self._closing:
            closing = closing_tokens(stop, self.tokenizer, self.model.config.vocab_size)
            self._closing[stop] = closing.to(self.model.device)
        return self._closing[stop]
