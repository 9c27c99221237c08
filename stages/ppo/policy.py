"""Log-probabilities of the tokens that an agent wrote."""

from __future__ import annotations

import torch
from torch import Tensor


def token_log_probs(
    model: torch.nn.Module, token_ids: Tensor, mask: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy (nats) of each masked token under `model`, 0 elsewhere.

    token_ids (rollouts, length), mask (rollouts, length - 1) -> two of (rollouts, length - 1).
    Logits are made only where some rollout needs one: with a real vocabulary they are the largest
    tensor of the step.
    """
    positions = mask.any(dim=0).nonzero().squeeze(1)  # (kept,)
    output = model(input_ids=token_ids[:, :-1], logits_to_keep=positions, use_cache=False)
    logits = output.logits[mask[:, positions]].float() / temperature  # (actions, vocabulary)
    every = torch.log_softmax(logits, dim=-1)
    chosen = every.gather(1, token_ids[:, 1:][mask][:, None]).squeeze(1)  # (actions,)
    entropy = -(every.exp() * every).sum(-1)
    return _spread(chosen, mask), _spread(entropy.detach(), mask)


def _spread(numbers: Tensor, mask: Tensor) -> Tensor:
    """(actions,) -> (rollouts, length - 1), zeros outside the mask."""
    return torch.zeros(mask.shape, dtype=numbers.dtype, device=mask.device).masked_scatter(
        mask, numbers
    )
