"""Rollouts as padded tensors.

Everything that is said of a token is stored at the position that predicts it: column t speaks of
token t + 1. `mask` is true where the model wrote that token; the prompt, retrieved text and padding
are false, and with them out of the policy loss, the value loss, the KL term and the advantages
(Agentic-R, agent training; Search-R1's retrieved-token masking).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Rollouts padded on the right; a causal model needs no attention mask for that."""

    token_ids: Tensor  # (rollouts, length) int64, padded with 0
    mask: Tensor  # (rollouts, length - 1) bool: the model wrote token t + 1
    scores: Tensor  # (rollouts, length - 1) float: the reward, at the last token the model wrote
    lengths: Tensor  # (rollouts,) int64, tokens of each rollout

    def rows(self, rows: Tensor) -> Batch:
        """These rollouts, cut to the longest of them."""
        length = int(self.lengths[rows].max())
        return Batch(
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
) -> Batch:
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
    batch = Batch(ids, written[:, 1:], scores[:, 1:], lengths)
    return Batch(*(tensor.to(device) for tensor in vars(batch).values()))


def micro_batches(rows: Tensor, lengths: Tensor, size: int) -> list[Tensor]:
    """Split `rows` into groups of at most `size` rollouts of similar length: little padding."""
    ordered = rows[torch.argsort(lengths[rows], stable=True)]
    return list(ordered.split(size))
