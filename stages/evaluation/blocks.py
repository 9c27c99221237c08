"""How agents are asked, and how far a rollout goes, when they are evaluated."""

from __future__ import annotations

from stages.params import OwnRollout, Params, Protocol, Rollout
from stages.rollout.blocks import with_own


def evaluation_protocol(params: Params) -> Protocol:
    """How agents are asked when they are evaluated."""
    return params.evaluate.protocol or params.protocol


def evaluation_rollout(params: Params) -> Rollout:
    """The limits of rollouts in evaluation."""
    return with_own(params.rollout, params.evaluate.rollout)


def evaluation_rollout_of(params: Params, agent: str) -> Rollout:
    """The limits in evaluation of one agent, by name: a guest may have its own."""
    own = params.guest[agent].rollout if agent in params.guest else OwnRollout()
    return with_own(evaluation_rollout(params), own)
