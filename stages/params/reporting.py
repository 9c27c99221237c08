"""Blocks of what is measured and shown."""

from __future__ import annotations

from dataclasses import dataclass, field

from stages.params.conversation import OwnRollout, Protocol

POOLED = ("all", "mean")  # what tables call all question sets together


@dataclass
class Evaluate:
    """`rollout` and `protocol` are evaluation's own in place of the run's, to price the harness: an
    agent is asked in another frame or within other limits, and nothing is trained anew.
    """

    recall_at: list[int] = field(default_factory=lambda: [3, 20])
    rollout: OwnRollout = field(default_factory=OwnRollout)
    protocol: Protocol | None = None  # null: the run's


@dataclass
class Health:
    """Limits of failure signatures (stages/health.py), and whether one that shows ends the run."""

    stop: bool = False
    em_gain: float = 0.0
    searches_rise: float = 0.0
    selection_ratio: float = 0.5
    entropy: float = 0.001
    length_ratio: float = 0.3
    reward_gain: float = 0.0
    uniform_share: float = 0.5


@dataclass
class Report:
    """`cases_per_kind`: questions won, lost and unchanged; `follow`: texts of questions that are
    followed in any case; `traces`: for MLflow, each iteration.
    """

    cases_per_kind: int = 1
    follow: list[str] = field(default_factory=list)
    traces: int = 20
