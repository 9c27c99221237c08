"""Blocks of the language models that are there at first: base agent, judge, guests."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from stages.params.choices import Wording
from stages.params.conversation import OwnRollout
from stages.params.data import HOPS

HEADS = 4  # of the language models made from scratch


@dataclass
class BaseModel:
    """A ready-made language model, or (`model` null) one made from scratch."""

    model: str | None = None
    revision: str | None = None
    layers: int = 4
    width: int = 128
    steps: int = 500
    easy_steps: int = 100
    batch_size: int = 16
    learning_rate: float = 2e-3


@dataclass
class BaseAgent(BaseModel):
    """The base agent; `doubt` is the habit of its demonstrations to search twice for a fact."""

    doubt: float = 0.7


@dataclass
class BaseJudge(BaseModel):
    """The judge; made from scratch, it is taught to grade up to `window` passages at once."""

    window: int = 10


@dataclass
class Base:
    """`hops`: the most of a question that models made from scratch are taught to answer and to
    grade; more than three are about teachers."""

    seed: int = 0
    hops: int = HOPS
    agent: BaseAgent = field(default_factory=BaseAgent)
    judge: BaseJudge = field(default_factory=BaseJudge)


@dataclass
class Guest:
    """A base agent that talks the protocol in the file `protocol`: see conf/guest/.

    Ready-made, or (`model` null) made from scratch with the sizes and steps of base.agent, taught
    to write its turns as `search` ({thought}, {query}) and `answer` ({thought}, {answer}) say.
    """

    protocol: str = MISSING
    model: str | None = None
    revision: str | None = None
    search: str = "<think> {thought} </think> <search> {query} </search>"
    answer: str = "<think> {thought} </think> <answer> {answer} </answer>"
    doubt: float = 0.0
    wording: Wording = Wording.query
    rollout: OwnRollout = field(default_factory=OwnRollout)
