"""Rollouts as padded tensors.

Everything that is said of a token is stored at the position that predicts it: column t speaks of
token t + 1. `mask` is true where the model wrote that token; the prompt, retrieved text and padding
are false, and with them out of the policy loss, the KL term, the value loss and the advantages. The
paper's public code masks the first two (Search-R1's retrieved-token masking) and not the others,
where it lets the value of retrieved text in; leaving it out of those as well is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RolloutBatch:
    """Rollouts padded on the right; a causal model needs no attention mask for that."""

    token_ids: Tensor  # (rollouts, length) int64, padded with 0
    mask: Tensor  # (rollouts, length - 1) bool: the model wrote token t + 1
    scores: Tensor  # (rollouts, length - 1) float: the reward, at the last token the model wrote
    lengths: Tensor  # (rollouts,) int64, tokens of each rollout

    def rows(self, rows: Tensor) -> RolloutBatch:
        """These rollouts, cut to the longest of them."""
        length = int(self.lengths[rows].max())
        return RolloutBatch(
            self.token_ids[rows, :length],
            self.mask[rows, : length - 1],
            self.scores[rows, : length - 1],
            self.lengths[rows],
        )


def collate(
    token_ids: Sequence[Sequence[int]],
    masks: Sequence[Sequence[int]],
    rewards: Sequence[float],
    device: str = "cpu",
) -> RolloutBatch:
    """One batch from the rollouts' token ids, their masks (1 = written by the model) and rewards.

    A rollout in which the model wrote nothing keeps an empty mask and carries no reward.
    """
    lengths = torch.tensor([len(ids) for ids in token_ids])
    shape = (len(token_ids), max(2, int(lengths.max())))
    ids = torch.zeros(shape, dtype=torch.long)
    written = torch.zeros(shape, dtype=torch.bool)
    scores = torch.zeros(shape)
    for row, (tokens, mask, reward) in enumerate(zip(token_ids, masks, rewards, strict=True)):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        written[row, : len(mask)] = torch.tensor(mask, dtype=torch.bool)
        positions = written[row, 1:].nonzero()
        if len(positions):
            scores[row, 1 + int(positions[-1])] = reward
    batch = RolloutBatch(ids, written[:, 1:], scores[:, 1:], lengths)
    return RolloutBatch(*(tensor.to(device) for tensor in vars(batch).values()))


def unmasked(length: int, prompt_length: int) -> list[int]:
    """The mask of a rollout whose retrieved tokens are learned as if the model had written them."""
    return [0] * prompt_length + [1] * (length - prompt_length)


def micro_batches(rows: Tensor, lengths: Tensor, size: int) -> list[Tensor]:
    """Split `rows` into groups of at most `size` rollouts of similar length: little padding."""
    ordered = rows[torch.argsort(lengths[rows], stable=True)]
    return list(ordered.split(size)) if len(rows) else []
