"""How the agent talks, and how far a rollout goes, while it is trained."""

from __future__ import annotations

from dataclasses import replace

from stages.params import OwnRollout, Params, Protocol, Rollout
from stages.rollout.blocks import with_own


def training_protocol(params: Params) -> Protocol:
    """How the agent talks while it is trained."""
    return params.agent.protocol or params.protocol


def training_rollout(params: Params) -> Rollout:
    """The limits of rollouts in PPO: `max_searches` turns that may search, then a last one."""
    agent = params.agent
    own = OwnRollout(
        top_k=agent.top_k,
        max_searches=agent.max_searches,
        max_turn_tokens=agent.max_turn_tokens,
        max_information_tokens=agent.max_information_tokens,
        max_context_tokens=agent.max_context_tokens,
    )
    return with_own(replace(params.rollout, max_turns=None), own)
