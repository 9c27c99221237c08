"""Rules for what gradients and draws are made with."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from stages.params.choices import Advantage
from stages.params.run import Params

HIGHEST_SEED = 2**31 - 1  # of the libraries that are seeded, the narrowest takes so much


def training_rules(params: Params) -> Iterator[tuple[str, str, bool]]:
    """As `rules`, of what gradients and draws are made with."""
    for key in ("seed", "base.seed", "index.seed"):
        seed = attrgetter(key)(params)
        yield key, f"must be from 0 to {HIGHEST_SEED}, found {seed}", 0 <= seed <= HIGHEST_SEED
    rates = ("agent.policy_learning_rate", "agent.value_learning_rate", "base.agent.learning_rate")
    rates += ("base.judge.learning_rate", "encoder.learning_rate", "retriever.learning_rate")
    for key in (*rates, "replug.learning_rate", "agent.max_gradient_norm", "agent.adam_epsilon"):
        yield key, "must be above 0", attrgetter(key)(params) > 0
    for key in ("agent.clip", "agent.value_clip"):
        yield key, "must be above 0", attrgetter(key)(params) > 0
    for key in ("agent.gamma", "agent.lam"):
        yield key, "must be above 0, to 1", 0 < attrgetter(key)(params) <= 1
    for name in ("kl_coefficient", "entropy_coefficient", "policy_warmup_steps"):
        yield f"agent.{name}", "must be at least 0", getattr(params.agent, name) >= 0
    agent = params.agent
    compared = agent.advantage is Advantage.gae or agent.rollouts > 1
    alone = "must be at least 2, found 1: the advantage 'grpo' compares the rollouts of a question"
    yield "agent.rollouts", alone, compared
    yield "agent.value_warmup_steps", "must be at least 0", params.agent.value_warmup_steps >= 0
    yield "retriever.weight_decay", "must be at least 0", params.retriever.weight_decay >= 0
    tiers = params.retriever.tier_weights
    for tier, weight in (vars(tiers) if tiers else {}).items():
        yield f"retriever.tier_weights.{tier}", "must be above 0", weight > 0
    yield "agent.top_p", "is a probability, above 0, to 1", 0 < params.agent.top_p <= 1
    for key in ("base.agent.doubt", "corpus.world.test_share"):
        yield key, "is a share, from 0 to 1", 0 <= attrgetter(key)(params) <= 1
    yield "index.hnsw.links", "must be at least 2", params.index.hnsw.links >= 2
