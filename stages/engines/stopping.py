"""A stopping criterion for transformers that ends each row at a stop string."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerBase, StoppingCriteria


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


def closing_tokens(
    stop: Sequence[str], tokenizer: PreTrainedTokenizerBase, vocabulary: int
) -> torch.Tensor:
    """Which tokens can complete one of `stop`, (vocabulary,) bool: most steps need no decoding."""
    tokens = [[i] for i in range(len(tokenizer))]
    texts = tokenizer.batch_decode(tokens, clean_up_tokenization_spaces=False)
    last = {s[-1] for s in stop} | {"\N{REPLACEMENT CHARACTER}"}
    blank = any(s[-1].isspace() for s in stop)  # decoding one token may strip it
    closes = torch.zeros(max(len(texts), vocabulary), dtype=torch.bool)
    closes[: len(texts)] = torch.tensor([blank or not last.isdisjoint(t) for t in texts])
    return closes
