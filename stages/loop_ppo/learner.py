"""One PPO step from a batch of rollouts: estimates once, then mini-batches of policy and critic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from stages.common.seeds import seed_of
from stages.loop_ppo import losses
from stages.loop_ppo.batch import RolloutBatch, micro_batches
from stages.loop_ppo.critic import Critic
from stages.loop_ppo.losses import K1, LOW_VARIANCE
from stages.loop_ppo.policy import token_log_probs
from stages.params import Agent, Kl
from stages.plumbing.errors import InputError
from stages.plumbing.finite import NotFinite, Watch
from stages.ppo.task import OF_VALUES

POLICY_RATE, VALUE_RATE = "agent.policy_learning_rate", "agent.value_learning_rate"


@dataclass(frozen=True)
class Estimates:
    """What one step holds fixed; all (rollouts, length - 1).

    `old_log_probs` and `entropy` of the first mini-batch's rollouts are those of its own forward
    pass, where the policy is still the old one: they are filled in there (see `_learn`). Without a
    critic `values` and `returns` are zeros that nothing reads.
    """

    old_log_probs: Tensor
    entropy: Tensor
    reference_log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


class Learner:
    """Policy, critic, frozen reference and the two optimisers.

    `critic` is None where the advantage is that of a group of rollouts (GRPO).
    """

    def __init__(
        self,
        policy: nn.Module,
        critic: Critic | None,
        reference: nn.Module,
        params: Agent,
        seed: int,
    ):
        self.policy = policy.eval().requires_grad_(True)  # no dropout: ratios start at exactly 1
        self.critic = critic
        self.reference = reference.eval().requires_grad_(False)
        self.params = params
        self.seed = seed
        self.policy_optimizer = torch.optim.AdamW(
            policy.parameters(), eps=params.adam_epsilon, fused=True
        )
        self.value_optimizer = critic and torch.optim.AdamW(critic.parameters(), fused=True)
        self.watch = Watch("agent")

    def update(self, batch: RolloutBatch, step: int) -> dict[str, float]:
        """Learn from the rollouts of `step` (from 0), those of a question one after another;
        returns the figures of the step.

        InputError when nothing can be learned: no token written, or a figure that is not finite.
        """
        if int(batch.mask.sum()) < 2:
            raise InputError(
                f"agent, step {step + 1}: the model wrote no text in any rollout; the base agent "
                "and the protocol do not fit each other"
            )
        self._set_learning_rates(step)
        every = self._mini_batches(len(batch.lengths), step)
        updates = [rows for rows in every if bool(batch.mask[rows].any())]
        estimates, metrics = self._estimate(batch, updates[0], step)
        totals = self._totals()
        for number, rows in enumerate(updates):
            for name, figure in self._learn(batch, estimates, rows, step, number == 0).items():
                totals[name] += figure
        totals = {name: total / len(updates) for name, total in totals.items()}
        return self._divergence(batch.mask, estimates, step) | metrics | totals

    def check_policy(self, step: int) -> None:
        """NotFinite if a weight of the policy is not finite after `step` steps."""
        self.watch.see_weights(step, self.policy, POLICY_RATE)

    def _set_learning_rates(self, step: int) -> None:
        params = self.params
        for optimizer, rate, steps in (
            (self.policy_optimizer, params.policy_learning_rate, params.policy_warmup_steps),
            (self.value_optimizer, params.value_learning_rate, params.value_warmup_steps),
        ):
            for group in optimizer.param_groups if optimizer else ():
                group["lr"] = rate * warmup(step, steps)

    @torch.no_grad()
    def _estimate(
        self, batch: RolloutBatch, first: Tensor, step: int
    ) -> tuple[Estimates, dict[str, float]]:
        """What the step holds fixed. Of the mini-batch `first` the policy is asked when it learns,
        unless its KL is in the reward."""
        shape = batch.mask.shape
        old, entropy, reference, values = (
            torch.zeros(shape, device=batch.mask.device) for _ in range(4)
        )
        everything = torch.arange(len(batch.lengths), device=batch.mask.device)
        mask, in_reward = batch.mask, self.params.kl is Kl.k1_reward
        later = torch.ones_like(everything, dtype=torch.bool)
        later[first] = in_reward
        size, temperature = self.params.micro_batch, self.params.temperature
        for rows in micro_batches(everything[later], batch.lengths, size):
            part = batch.rows(rows)
            width = part.mask.shape[1]
            old[rows, :width], entropy[rows, :width] = token_log_probs(
                self.policy, part.token_ids, part.mask, temperature
            )
        for rows in micro_batches(everything, batch.lengths, size):
            part = batch.rows(rows)
            width = part.mask.shape[1]
            reference[rows, :width], _ = token_log_probs(
                self.reference, part.token_ids, part.mask, temperature
            )
            if self.critic is not None:
                values[rows, :width] = self.critic(part.token_ids, part.mask)
        self._see_estimates(step, *(part[mask] for part in (values, old, reference)))
        scores = batch.scores
        if in_reward:
            kl = losses.kl_estimate(old, reference, K1)
            scores = scores - self.params.kl_coefficient * kl
        if self.critic is None:
            advantages = losses.group_advantages(scores, mask, self.params.rollouts)
            return Estimates(old, entropy, reference, values, advantages, values), {}
        advantages, returns = losses.estimate_advantages(
            scores, values, mask, self.params.gamma, self.params.lam
        )
        metrics = {"explained_variance": losses.explained_variance(values, returns, mask)}
        self.watch.see(step + 1, VALUE_RATE, metrics)
        return Estimates(old, entropy, reference, values, advantages, returns), metrics

    def _divergence(self, mask: Tensor, estimates: Estimates, step: int) -> dict[str, float]:
        """How far the old policy was from the reference, and its entropy: means over tokens."""
        estimate = K1 if self.params.kl is Kl.k1_reward else LOW_VARIANCE
        kl = losses.kl_estimate(estimates.old_log_probs, estimates.reference_log_probs, estimate)
        found = {"kl": kl, "entropy": estimates.entropy}
        metrics = {name: losses.masked_mean(part, mask) for name, part in found.items()}
        self.watch.see(step + 1, POLICY_RATE, metrics)
        return metrics

    def _see_estimates(self, step: int, values: Tensor, old: Tensor, reference: Tensor) -> None:
        """NotFinite says which of the three models gives what is not finite."""
        if not bool(torch.isfinite(values).all()):
            raise self.watch.diverged(step + 1, "a value is not finite", VALUE_RATE)
        self._see_policy(step, old)
        if not bool(torch.isfinite(reference).all()):
            raise NotFinite(
                f"agent, step {step + 1}: the base agent gives a token that was written no finite "
                "log-probability: its weights, in models/agent/0, are broken"
            )

    def _see_policy(self, step: int, log_probs: Tensor) -> None:
        if not bool(torch.isfinite(log_probs).all()):
            raise self.watch.diverged(step + 1, "a log-probability is not finite", POLICY_RATE)

    def _mini_batches(self, rollouts: int, step: int) -> Iterable[Tensor]:
        for epoch in range(self.params.epochs):
            shuffle = torch.Generator().manual_seed(seed_of(self.seed, "mini", step, epoch))
            yield from torch.randperm(rollouts, generator=shuffle).split(self.params.mini_batch)

    def _learn(
        self, batch: RolloutBatch, estimates: Estimates, rows: Tensor, step: int, first: bool
    ) -> dict[str, float]:
        """One update of policy and critic from one mini-batch.

        In the `first` one of a step the policy is still the old one: what it gives here is filled
        into `estimates`, and every ratio is exactly 1.
        """
        params, tokens = self.params, int(batch.mask[rows].sum())
        in_loss = params.kl is Kl.low_var_loss
        totals = self._totals()
        for micro in micro_batches(rows.to(batch.mask.device), batch.lengths, params.micro_batch):
            part = batch.rows(micro)
            width = part.mask.shape[1]
            fixed = Estimates(*(tensor[micro, :width] for tensor in vars(estimates).values()))
            if not bool(part.mask.any()):
                continue
            log_probs, entropy = token_log_probs(
                self.policy,
                part.token_ids,
                part.mask,
                params.temperature,
                learn_entropy=params.entropy_coefficient > 0,
            )
            if first and params.kl is not Kl.k1_reward:
                estimates.old_log_probs[micro, :width] = log_probs.detach()
                estimates.entropy[micro, :width] = entropy.detach()
                fixed = replace(fixed, old_log_probs=log_probs.detach())
                self._see_policy(step, log_probs.detach()[part.mask])
            policy_loss, clipped = losses.policy_loss(
                log_probs,
                fixed.old_log_probs,
                fixed.reference_log_probs,
                fixed.advantages,
                part.mask,
                clip=params.clip,
                kl_coefficient=params.kl_coefficient if in_loss else 0.0,
                tokens=tokens,
            )
            if params.entropy_coefficient > 0:
                bonus = losses.token_mean(entropy, part.mask, tokens)
                policy_loss = policy_loss - params.entropy_coefficient * bonus
            policy_loss.backward()
            totals["policy_loss"] += policy_loss.item()
            totals["clip_fraction"] += clipped * int(part.mask.sum()) / tokens
            if self.critic is not None:
                value_loss = losses.value_loss(
                    self.critic(part.token_ids, part.mask),
                    fixed.values,
                    fixed.returns,
                    part.mask,
                    clip=params.value_clip,
                    tokens=tokens,
                )
                value_loss.backward()
                totals["value_loss"] += value_loss.item()
        for name, rate, model, optimizer in (
            ("value", VALUE_RATE, self.critic, self.value_optimizer),
            ("policy", POLICY_RATE, self.policy, self.policy_optimizer),
        ):
            if model is None:
                continue
            norm = nn.utils.clip_grad_norm_(model.parameters(), params.max_gradient_norm)
            seen = {f"{name} loss": totals[f"{name}_loss"], f"{name} gradient norm": norm.item()}
            self.watch.see(step + 1, rate, seen)
            optimizer.step()
            optimizer.zero_grad()
        return totals

    def state(self) -> dict:
        """Everything that a resumed run needs besides the step number."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load(self, state: dict) -> None:
        """Take over a `state()`."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _totals(self) -> dict[str, float]:
        names = ("policy_loss", "value_loss", "clip_fraction")
        return {n: 0.0 for n in names if self.critic is not None or n not in OF_VALUES}

    def _parts(self) -> dict:
        parts = {
            "policy": self.policy,
            "critic": self.critic,
            "policy_optimizer": self.policy_optimizer,
            "value_optimizer": self.value_optimizer,
        }
        return {name: part for name, part in parts.items() if part is not None}


def warmup(step: int, steps: float) -> float:
    """Factor on the learning rate at `step` (from 0): linear over the first `steps`, then 1."""
    return min(1.0, (step + 1) / max(1.0, steps))
