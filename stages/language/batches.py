"""Pad demonstrations into batches of token ids, with a mask of the model's own tokens."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from stages.teaching.demonstrations import Segment

Make = Callable[[int, str], list[Segment]]  # (step, seed) -> a demonstration


@dataclass
class SupervisedBatch:
    """Token ids and, of the same shape (batch, length), the number of the action a token is of.

    Actions count from 1 in each row; 0 is text that the model does not write. Rows are padded on
    the right, which a causal model without an attention mask never sees.
    """

    ids: torch.Tensor
    actions: torch.Tensor


def encode_segments(
    segments: Sequence[Segment], tokenizer: PreTrainedTokenizerFast
) -> tuple[list[int], list[int]]:
    """Token ids and action numbers of one demonstration, end of text included."""
    ids: list[int] = []
    actions: list[int] = []
    action = 0
    for number, segment in enumerate(segments, 1):
        new = tokenizer.encode(segment.text, add_special_tokens=False)
        if number == len(segments) and segment.own:
            new = [*new, tokenizer.eos_token_id]
        action += segment.own
        ids += new
        actions += [action if segment.own else 0] * len(new)
    return ids, actions


def pad(rows: Sequence[tuple[list[int], list[int]]], padding: int) -> SupervisedBatch:
    """One batch of encoded demonstrations."""
    length = max(len(ids) for ids, _ in rows)
    return SupervisedBatch(
        torch.tensor([ids + [padding] * (length - len(ids)) for ids, _ in rows]),
        torch.tensor([actions + [0] * (length - len(ids)) for ids, actions in rows]),
    )


def batches(
    make: Make, tokenizer: PreTrainedTokenizerFast, size: int, start: int, stop: int
) -> Iterator[SupervisedBatch]:
    """Batches number `start` to `stop`; batch n depends on n alone, so a run can be resumed.

    Four batches are drawn at a time and cut by length, which saves padding.
    """
    together = 4
    for block in range(start // together, -(-stop // together)):
        rows = [
            encode_segments(make(block * together, f"{block}/{row}"), tokenizer)
            for row in range(size * together)
        ]
        rows.sort(key=lambda row: len(row[0]))
        order = [(block * 7 + turn * 3) % together for turn in range(together)]
        for turn, part in enumerate(order):
            if start <= block * together + turn < stop:
                yield pad(rows[part * size : (part + 1) * size], tokenizer.pad_token_id)
