"""The block of the agent's PPO."""

from __future__ import annotations

from dataclasses import dataclass

from stages.params.choices import Advantage, Kl, Trainer
from stages.params.conversation import Protocol


@dataclass
class Agent:
    """Reinforcement learning of the agent (Agentic-R, agent training).

    Warm-ups are in steps, also of more steps than there are: the rate then rises to the end. Under
    verl they are whole. `mask_retrieved` off lets retrieved tokens into the loss, to study that.
    `gamma`, `lam` and what is of the value model are of the advantage `gae` alone.
    """

    trainer: Trainer = Trainer.loop
    steps: int = 40
    questions: int = 16  # a step
    rollouts: int = 8  # a question
    mini_batch: int = 64  # rollouts an update
    micro_batch: int = 32  # rollouts a forward pass; changes results by rounding only
    epochs: int = 1
    policy_learning_rate: float = 2e-4
    policy_warmup_steps: float = 0.0
    value_learning_rate: float = 2e-3
    value_warmup_steps: float = 0.0
    max_gradient_norm: float = 1.0
    adam_epsilon: float = 1e-4  # of the policy's optimizer
    advantage: Advantage = Advantage.gae
    kl: Kl = Kl.low_var_loss
    kl_coefficient: float = 0.001
    entropy_coefficient: float = 0.0
    mask_retrieved: bool = True
    clip: float = 0.2
    value_clip: float = 0.5
    gamma: float = 1.0
    lam: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0  # of the rollouts' sampling
    max_searches: int = 4
    top_k: int = 3
    max_turn_tokens: int | None = None  # null: as in `rollout`, and so the next two
    max_information_tokens: int | None = None
    max_context_tokens: int | None = None
    protocol: Protocol | None = None  # null: the run's
