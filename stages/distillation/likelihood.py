"""How likely an agent is to write the gold answer right after a passage: no rollout, one reading.

A cheap stand-in for GAC, which asks what the agent finds in the end; here a passage that only
leads to the next search is told from others by what little it says of the answer. It is also the
label of the REPLUG baseline (arXiv 2301.12652).
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stages.gac.rollouts import Start
from stages.params import Compute, Engine, Generation
from stages.plumbing.errors import InputError
from stages.rollout import loop

if TYPE_CHECKING:
    from stages.engines.generator import TransformersGenerator
    from stages.rollout.protocol import Protocol

DECIMALS = 4
ROWS = 8  # sequences in a forward pass
STEP = 16  # tokens, to whose multiples sequences are padded
Asked = tuple[Start, list[str]]  # where the turn is written, and the turns to rate


class Wording:
    """The turns that would give the gold answers of a question, in the agent's own words.

    Of a trajectory with an answer: its last turn, where the gold answer stands for the agent's
    answer wherever that occurs as whole words, in the thought too. Of one without: the action alone
    in the last turn of the first trajectory that has an answer.
    """

    def __init__(self, trajectories: Sequence[dict], protocol: Protocol):
        """InputError if no trajectory has an answer, or if `protocol` does not read the first."""
        first = next((row for row in trajectories if row["answer"] is not None), None)
        if first is None:
            raise InputError("no trajectory has an answer that could show how answers are worded")
        text, answer = first["turns"][-1]["text"], first["answer"]
        action = _answering(text, answer, protocol)
        if action is None:
            raise InputError(
                f"the agent's protocol does not read the answer '{answer}' in the last turn of "
                f"'{first['id']}'"
            )
        self._example = action, answer

    def turns(self, trajectory: dict) -> list[str]:
        """One turn for each gold answer that is not blank."""
        if trajectory["answer"] is not None:
            return reworded(trajectory)
        return _replaced(*self._example, trajectory["golden_answers"])


def reworded(trajectory: dict) -> list[str]:
    """The last turn of a trajectory with an answer, for each gold answer that is not blank."""
    text = trajectory["turns"][-1]["text"]
    return _replaced(text, trajectory["answer"], trajectory["golden_answers"])


def _answering(text: str, answer: str, protocol: Protocol) -> str | None:
    """The shortest part of a turn that `protocol` reads as this answer."""

    def reads(start: int, end: int) -> bool:
        action = protocol.parse(text[start:end])
        return (action.kind, action.value) == ("answer", answer)

    end = next((end for end in range(len(text) + 1) if reads(0, end)), None)
    if end is None:
        return None
    return next(text[start:end] for start in range(end, -1, -1) if reads(start, end))


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
    asked: list[Asked],
    reader: TransformersGenerator,
    protocol: Protocol,
    limits: loop.Limits,
    advance: Callable[[int], object],
) -> list[dict]:
    """A row {likelihood, read} for each of `asked`: see answer_likelihood, and tokens read."""
    words = reader.tokenizer
    contexts = [
        loop.prefix(s.trajectory, s.turn, [s.passage], protocol, words, limits).token_ids
        for s, _ in asked
    ]
    answers = [
        [words.encode(text, add_special_tokens=False) for text in texts] for _, texts in asked
    ]
    window = min(limits.max_context_tokens, reader.window)
    likelihoods = answer_likelihood(contexts, answers, reader, window)
    lengths = [
        [len(context) + len(answer) for answer in options]
        for context, options in zip(contexts, answers, strict=True)
    ]
    advance(len(asked))
    return [
        {"likelihood": likelihood, "read": sum(n for n in row if n <= window)}
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
    return [
        round(told[row, start : start + len(answer)].mean().item(), DECIMALS)
        for row, (start, (_, answer)) in enumerate(zip(starts, batch, strict=True))
    ]


def likeliest(likelihoods: dict[str, float | None]) -> dict[str, int]:
    """GAC in place of likelihood: 1 for the likeliest passages of a query, 0 for the others."""
    best = max((value for value in likelihoods.values() if value is not None), default=None)
    return {
        passage: int(value is not None and value == best) for passage, value in likelihoods.items()
    }
