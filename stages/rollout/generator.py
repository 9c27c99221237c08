"""What writes an agent's turns and a judge's replies: one small interface, and transformers.

Greedy output depends on the prompt alone, sampled output on the prompt and its key: never on the
batch, so rollouts may be batched, deduplicated and resumed freely.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    StoppingCriteria,
    StoppingCriteriaList,
)

from stages.models import model_path


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


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, as its tokenizer.json has it.

    AutoTokenizer chooses a class by the model's type and, for one of our own beside a known type
    (qwen2), rebuilds it as something else without an error; so it is asked only where there is no
    tokenizer.json.
    """
    path = Path(model_path(folder))
    if (path / "tokenizer.json").exists():
        return PreTrainedTokenizerFast.from_pretrained(path)
    return AutoTokenizer.from_pretrained(path)


class TransformersGenerator:
    """A causal language model in this process; `model` may be trained between calls.

    Weights come from safetensors; float32 on a CPU, else the type that they are stored in.
    Sampling settings in the folder (temperature, repetition penalty...) are ignored.
    """

    def __init__(self, folder: str | Path, *, device: str = "cpu", batch_size: int = 64):
        self.tokenizer = load_tokenizer(folder)
        self.model = AutoModelForCausalLM.from_pretrained(
            model_path(folder),
            dtype=torch.float32 if device == "cpu" else "auto",
            use_safetensors=True,
            trust_remote_code=False,
        ).to(device)
        self.model.eval()
        self.batch_size = batch_size
        self.window = getattr(self.model.config, "max_position_embeddings", sys.maxsize)
        self._ends = _end_ids(
            self.model.generation_config.eos_token_id, self.tokenizer.eos_token_id
        )
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
        if temperature > 0 and keys is None:
            raise ValueError("sampling needs a key for each prompt")
        drawn = keys if temperature > 0 else [0] * len(prompts)
        items = [(tuple(prompt), key) for prompt, key in zip(prompts, drawn, strict=True)]
        todo = sorted({item for item in items if len(item[0]) < self.window}, key=_by_length)
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
        return [self._trim(row[:end]) for row, end in zip(rows, ends, strict=True)]

    def _closing_tokens(self, stop: tuple[str, ...]) -> torch.Tensor:
        """Which tokens can complete one of `stop`, (vocabulary,): most steps need no decoding."""
        if stop not in self._closing:
            tokens = [[i] for i in range(len(self.tokenizer))]
            texts = self.tokenizer.batch_decode(tokens, clean_up_tokenization_spaces=False)
            last = {s[-1] for s in stop} | {"\N{REPLACEMENT CHARACTER}"}
            blank = any(s[-1].isspace() for s in stop)  # decoding one token may strip it
            size = max(len(texts), self.model.config.vocab_size)
            closes = torch.zeros(size, dtype=torch.bool)
            closes[: len(texts)] = torch.tensor([blank or not last.isdisjoint(t) for t in texts])
            self._closing[stop] = closes.to(self.model.device)
        return self._closing[stop]

    def _trim(self, row: list[int]) -> list[int]:
        """What was written before the end of text and the padding behind it."""
        ends = (position for position, token in enumerate(row) if token in self._ends)
        return row[: next(ends, len(row))]


class StopText(StoppingCriteria):
    """Stops a row when what was written after the prompt holds a stop string.

    `ends` has the number of new tokens of each stopped row. (transformers' StopStringCriteria also
    stops at a string that began in the prompt.)
    """

    def __init__(self, stop: Sequence[str], tokenizer, closing: torch.Tensor, width: int):
        self.stop, self.tokenizer, self.closing, self.width = stop, tokenizer, closing, width
        self.ends: dict[int, int] = {}

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs) -> torch.Tensor:
        """`input_ids` (rows, width + new tokens) -> (rows,) bool."""
        for row in self.closing[input_ids[:, -1]].nonzero().flatten().tolist():
            new = input_ids[row, self.width :].tolist()
            text = self.tokenizer.decode(new, clean_up_tokenization_spaces=False)
            if row not in self.ends and any(s in text for s in self.stop):
                self.ends[row] = len(new)
        done = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        done[list(self.ends)] = True
        return done


class GumbelNoise(LogitsProcessor):
    """Exact sampling: the argmax of logits / temperature + Gumbel noise (Gumbel-max).

    The noise of a token is a hash of (key of the row, position in the row's unpadded sequence,
    token), so what is drawn does not depend on the batch, its padding or its order.
    """

    def __init__(self, keys: Sequence[int], mask: torch.Tensor, temperature: float):
        wrapped = [key % 2**64 - 2**63 for key in keys]
        self.keys = _mix(torch.tensor(wrapped, dtype=torch.int64))  # (rows,)
        self.padding = (mask == 0).sum(1)  # (rows,)
        self.temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """`scores` (rows, vocabulary) with noise; `input_ids` (rows, padding + length so far)."""
        device = scores.device
        self.keys, self.padding = self.keys.to(device), self.padding.to(device)
        positions = input_ids.shape[1] - self.padding
        rows = _mix(self.keys + positions * _GOLDEN)  # (rows,)
        tokens = torch.arange(scores.shape[1], device=device) * _GOLDEN  # (vocabulary,)
        bits = _mix(rows[:, None] + tokens) & 0xFFFFFFFF
        uniform = bits.float().add_(0.5).mul_(2.0**-32).clamp_(max=1 - 2.0**-24)
        return scores / self.temperature - torch.log(-torch.log1p(-uniform))


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


def _mix(value: torch.Tensor) -> torch.Tensor:
    """SplitMix64's finaliser on int64, whose products wrap around."""
    value = (value ^ _shift(value, 30)) * _FIRST
    value = (value ^ _shift(value, 27)) * _SECOND
    return value ^ _shift(value, 31)


def _shift(value: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical shift to the right."""
    return (value >> bits) & (2 ** (64 - bits) - 1)


def _by_length(item: tuple[tuple[int, ...], int]) -> tuple:
    return len(item[0]), item


def _end_ids(*ids: int | list[int] | None) -> set[int]:
    ends: set[int] = set()
    for value in ids:
        ends |= {value} if isinstance(value, int) else set(value or ())
    return ends
