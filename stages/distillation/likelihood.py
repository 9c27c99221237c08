"""How likely an agent is to write the gold answer right after a passage: the label of REPLUG
(arXiv 2301.12652). No rollout, one reading a passage.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.records import Passage
from stages.common.trajectories import Trajectory
from stages.params import Compute, Engine, Generation, Rollout
from stages.plumbing.finite import NotFinite
from stages.rollout import loop

if TYPE_CHECKING:
    from stages.engines.generator import TransformersGenerator
    from stages.rollout.protocol import AgentProtocol

DECIMALS = 4
ROWS = 8  # sequences in a forward pass
STEP = 16  # tokens, to whose multiples sequences are padded
RatingTask = tuple[Trajectory, Passage, list[str]]  # with its first turn's passage, turns to rate


def reworded(trajectory: Trajectory) -> list[str]:
    """The last turn of a trajectory with an answer, for each gold answer that is not blank."""
    text = trajectory.turns[-1].text
    return _replaced(text, trajectory.answer, trajectory.golden_answers)


def _replaced(text: str, answer: str, golden_answers: Sequence[str]) -> list[str]:
    words = re.compile(rf"(?<!\w){re.escape(answer)}(?!\w)")
    if not words.search(text):  # in a script that leaves no space between words
        words = re.compile(re.escape(answer))
    golden = (gold.strip() for gold in golden_answers)
    return [words.sub(lambda _, gold=gold: gold, text) for gold in golden if gold]


def load_reader(folder: str | Path, generation: Generation, compute: Compute):
    """The language model in `folder`, by transformers: other engines do not rate what they read."""
    from stages.engines.loading import load_agent

    own = replace(generation, engine=Engine.transformers)
    return load_agent(folder, own, replace(compute, engine=None))


def rate(
    asked: list[RatingTask],
    reader: TransformersGenerator,
    protocol: AgentProtocol,
    limits: Rollout,
    advance: Callable[[int], object],
) -> list[dict]:
    """A row {likelihood, prompt_tokens} for each of `asked`: see answer_likelihood."""
    words = reader.tokenizer
    contexts = [
        loop.prefix(trajectory, 0, [passage], protocol, words, limits).token_ids
        for trajectory, passage, _ in asked
    ]
    answers = [
        [words.encode(text, add_special_tokens=False) for text in texts] for _, _, texts in asked
    ]
    window = min(limits.max_context_tokens, reader.window)
    likelihoods = answer_likelihood(contexts, answers, reader, window)
    lengths = [
        [len(context) + len(answer) for answer in options]
        for context, options in zip(contexts, answers, strict=True)
    ]
    advance(len(asked))
    return [
        {"likelihood": likelihood, "prompt_tokens": sum(n for n in row if n <= window)}
        for likelihood, row in zip(likelihoods, lengths, strict=True)
    ]


def answer_likelihood(
    contexts: list[list[int]],
    answers: list[list[list[int]]],
    reader: TransformersGenerator,
    window: int,
) -> list[float | None]:
    """Mean log-probability (nats a token) of the likeliest of each context's answers, rounded.

    None where every answer would end beyond `window` tokens. Equal pairs are read once. A batch has
    one of few shapes, which a pair's own lengths say: products of other shapes round differently.
    NotFinite for a likelihood that is not finite.
    """
    pairs = [
        [(tuple(context), tuple(answer)) for answer in options]
        for context, options in zip(contexts, answers, strict=True)
    ]
    shapes = defaultdict(list)
    for pair in dict.fromkeys(itertools.chain.from_iterable(pairs)):
        length, tail = len(pair[0]) + len(pair[1]), len(pair[1]) + STEP
        if length <= window:
            shapes[min(_padded(length), window), _padded(tail)].append(pair)
    known = {}
    for (width, tail), group in sorted(shapes.items()):
        for start in range(0, len(group), ROWS):
            batch = group[start : start + ROWS]
            filled = batch + batch[:1] * (ROWS - len(batch))
            known.update(zip(batch, _read(filled, width, tail, reader), strict=False))
    return [max((known[pair] for pair in row if pair in known), default=None) for row in pairs]


def _padded(length: int) -> int:
    return -(-length // STEP) * STEP


def _read(batch: list[tuple], width: int, tail: int, reader: TransformersGenerator) -> list[float]:
    """Mean log-probability of each pair's second part, which lies in the last `tail` of `width`
    positions. Padding stands on the right, where a causal model does not see it."""
    import torch

    ids = torch.zeros((len(batch), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (context, answer) in enumerate(batch):
        ids[row, : len(context) + len(answer)] = torch.tensor(context + answer)
        mask[row, : len(context) + len(answer)] = 1
    device = reader.model.device
    with torch.inference_mode():
        logits = reader.model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            use_cache=False,
            logits_to_keep=tail + 1,
        ).logits[:, :-1]  # (batch, tail or less, vocabulary): each predicts the next token
        first = width - logits.shape[1]  # position of the first token that is predicted
        every = torch.log_softmax(logits.float(), dim=-1)
        told = every.gather(2, ids[:, first:, None].to(device)).squeeze(2).cpu()
    starts = [len(context) - first for context, _ in batch]
    means = [
        told[row, start : start + len(answer)].mean().item()
        for row, (start, (_, answer)) in enumerate(zip(starts, batch, strict=True))
    ]
    if not all(map(math.isfinite, means)):
        raise NotFinite(
            f"{reader.name}: the language model gives an answer no finite likelihood: its weights "
            "are broken, or its numbers too narrow ('generation.dtype')"
        )
    return [round(mean, DECIMALS) for mean in means]
