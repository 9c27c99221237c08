"""PPO as a plain loop over transformers: every pass made, over all positions of a padded batch.

The peer of stages/loop_ppo in peers.py: the same losses, mini-batches and micro-batches.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM

from stages.loop_ppo import losses
from stages.loop_ppo.batch import RolloutBatch
from stages.params import Agent


class PlainLearner:
    """A policy, its reference, a value model and two optimizers."""

    def __init__(self, base: str, params: Agent):
        self.params = params
        self.policy = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
        self.reference = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
        self.backbone = AutoModel.from_pretrained(base, dtype=torch.float32).eval()
        self.head = nn.Linear(self.backbone.config.hidden_size, 1)
        self.optimizers = [
            torch.optim.AdamW(self.policy.parameters(), lr=params.policy_learning_rate),
            torch.optim.AdamW([*self.backbone.parameters(), *self.head.parameters()], lr=1e-3),
        ]

    def update(self, batch: RolloutBatch) -> None:
        """Learn from a batch of rollouts."""
        params, mask = self.params, batch.mask
        ids = list(batch.token_ids.split(params.micro_batch))
        with torch.no_grad():
            old, reference = (
                torch.cat([self._log_probs(model, part) for part in ids])
                for model in (self.policy, self.reference)
            )
            values = torch.cat([self._values(part) for part in ids])
        advantages, returns = losses.estimate_advantages(batch.scores, values, mask, 1.0, 1.0)
        for rows in torch.arange(len(mask)).split(params.mini_batch):
            tokens = int(mask[rows].sum())
            for part in rows.split(params.micro_batch):
                log_probs = self._log_probs(self.policy, batch.token_ids[part])
                policy, _ = losses.policy_loss(
                    log_probs,
                    old[part],
                    reference[part],
                    advantages[part],
                    mask[part],
                    clip=params.clip,
                    kl_coefficient=params.kl_coefficient,
                    tokens=tokens,
                )
                policy.backward()
                losses.value_loss(
                    self._values(batch.token_ids[part]),
                    values[part],
                    returns[part],
                    mask[part],
                    clip=params.value_clip,
                    tokens=tokens,
                ).backward()
            for optimizer in self.optimizers:
                optimizer.step()
                optimizer.zero_grad()

    def _log_probs(self, model: nn.Module, ids: Tensor) -> Tensor:
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        every = torch.log_softmax(logits / self.params.temperature, dim=-1)
        return every.gather(2, ids[:, 1:, None]).squeeze(2)

    def _values(self, ids: Tensor) -> Tensor:
        hidden = self.backbone(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        return self.head(hidden).squeeze(2)
