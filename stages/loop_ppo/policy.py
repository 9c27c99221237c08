"""Log-probabilities of the tokens that an agent wrote."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.loop_ppo.positions import last_layer_at


def token_log_probs(
    model: torch.nn.Module,
    token_ids: Tensor,
    mask: Tensor,
    temperature: float,
    learn_entropy: bool = False,
) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy (nats) of each masked token under `model`, 0 elsewhere.

    The entropy has gradients with `learn_entropy` alone.
    token_ids (rollouts, length), mask (rollouts, length - 1) -> two of (rollouts, length - 1).
    """
    logits = _logits(model, token_ids[:, :-1], mask) / temperature  # (actions, vocabulary)
    every = torch.log_softmax(logits, dim=-1)
    chosen = every.gather(1, token_ids[:, 1:][mask][:, None]).squeeze(1)  # (actions,)
    with torch.set_grad_enabled(learn_entropy and torch.is_grad_enabled()):
        entropy = -(every.exp() * every).sum(-1)
    return spread(chosen, mask), spread(entropy, mask)


def _logits(model: torch.nn.Module, token_ids: Tensor, mask: Tensor) -> Tensor:
    """(actions, vocabulary): logits at the mask's positions alone, by the model's own forward.

    The output layer is handed only those hidden states: over all positions its logits would be the
    largest tensor of the step, most of it for retrieved text. Whatever the model does to its logits
    afterwards (scaling, capping) still happens.
    """
    head = model.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][mask][None],))
    try:
        with last_layer_at(model.base_model, mask):
            return model(input_ids=token_ids, use_cache=False).logits[0].float()
    finally:
        handle.remove()


def spread(numbers: Tensor, mask: Tensor) -> Tensor:
    """(actions,) -> (rollouts, length - 1), zeros outside the mask."""
    return torch.zeros(mask.shape, dtype=numbers.dtype, device=mask.device).masked_scatter(
        mask, numbers
    )
