"""PPO's arithmetic on padded tensors, by `verl.trainer.ppo.core_algos`.

All tensors are (rollouts, tokens), aligned as in `batch`; `mask` is true on the model's own tokens.
Losses are means over the tokens of a whole mini-batch: `tokens` is that number, so that the
gradients of its micro-batches add up to the mini-batch's, however it is split.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from verl.trainer.ppo import core_algos
from verl.workers.config import ActorConfig

K1, LOW_VARIANCE = "kl", "low_var_kl"  # verl's names of two estimates of KL


def estimate_advantages(
    scores: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation: (advantages whitened over the mask, returns).

    Tokens outside the mask are skipped altogether: the next value and the next error are those of
    the next token that the model wrote, so retrieved text neither discounts nor adds anything.
    """
    return core_algos.compute_gae_advantage_return(
        token_level_rewards=scores, values=values, response_mask=mask.float(), gamma=gamma, lam=lam
    )


def group_advantages(scores: Tensor, mask: Tensor, rollouts: int) -> Tensor:
    """GRPO: (reward - mean) / (standard deviation + 1e-6) over the `rollouts` of a question, which
    follow each other, at each token of the mask; a rollout's reward is the sum of its scores.
    """
    groups = np.arange(len(scores)) // rollouts
    advantages, _ = core_algos.compute_grpo_outcome_advantage(
        token_level_rewards=scores, response_mask=mask.float(), index=groups
    )
    return advantages


def kl_estimate(
    log_probs: Tensor, reference_log_probs: Tensor, estimate: str = LOW_VARIANCE
) -> Tensor:
    """KL to the reference, a token. With r = reference / policy, LOW_VARIANCE is r - log r - 1, and
    K1 is -log r.
    """
    return core_algos.kl_penalty(log_probs, reference_log_probs, estimate)


def policy_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    reference_log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip: float,
    kl_coefficient: float,
    tokens: int,
) -> tuple[Tensor, float]:
    """Clipped objective plus the KL term: (loss, share of the mask's tokens that were clipped).

    verl also bounds the loss of a token with a negative advantage at a ratio of 3 (dual clip).
    """
    config = ActorConfig(
        strategy="local",
        rollout_n=1,
        use_dynamic_bsz=True,
        clip_ratio=clip,
        clip_ratio_low=clip,
        clip_ratio_high=clip,
        global_batch_info={"batch_num_tokens": tokens},
    )
    clipped, metrics = core_algos.get_policy_loss_fn("vanilla")(
        old_log_prob=old_log_probs,
        log_prob=log_probs,
        advantages=advantages,
        response_mask=mask,
        loss_agg_mode=config.loss_agg_mode,
        config=config,
    )
    kl = core_algos.agg_loss(
        kl_estimate(log_probs, reference_log_probs),
        mask,
        config.loss_agg_mode,
        **config.global_batch_info,
    )
    return clipped + kl_coefficient * kl, metrics["actor/pg_clipfrac"]


def token_mean(numbers: Tensor, mask: Tensor, tokens: int) -> Tensor:
    """The part of these tokens in the mean over the `tokens` of their mini-batch."""
    return core_algos.agg_loss(numbers, mask, "token-mean", batch_num_tokens=tokens)


def value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, *, clip: float, tokens: int
) -> Tensor:
    """Half the squared error, clipped around the values that the advantages were made with."""
    loss, _ = core_algos.compute_value_loss(
        vpreds=values,
        returns=returns,
        values=old_values,
        response_mask=mask,
        cliprange_value=clip,
        batch_num_tokens=tokens,
    )
    return loss


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """How much of the returns' variance the critic foresaw: 1 all, 0 none; 0 if there was none."""
    spread = returns[mask].var(correction=0)
    if not spread > 0:
        return 0.0
    return float(1 - (returns - values)[mask].var(correction=0) / spread)


def masked_mean(numbers: Tensor, mask: Tensor) -> float:
    """Mean over the mask's tokens."""
    return float(torch.where(mask, numbers, 0.0).sum() / mask.sum())
