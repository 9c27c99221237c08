"""All parameters of a run, and which models its iterations pair."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from stages.params.agent import Agent
from stages.params.compute import Compute
from stages.params.conversation import Generation, Protocol, Rollout
from stages.params.data import Corpus, Published, Questions
from stages.params.index import Index
from stages.params.labels import (
    Candidates,
    Correctness,
    Pairs,
    Relevance,
    Trajectories,
    Visits,
)
from stages.params.models import Base, Guest
from stages.params.reporting import Evaluate, Health, Report
from stages.params.retrievers import Baseline, Encoder, Replug, Retriever


@dataclass
class Iteration:
    previous: str = MISSING  # dvc.yaml reads it, and what is MISSING below, from the file


@dataclass
class Pair:
    agent: str = MISSING
    retriever: str = MISSING


@dataclass
class Oracle(Pair):
    """A pair whose retriever's passages are ranked by GAC (stages/oracle.py). `questions`: of each
    set; null: all."""

    questions: int | None = 50


ORACLE = "+oracle"  # after the retriever's name where the tables have such a pair


def oracle_name(retriever: str) -> str:
    """What tables call a retriever whose passages are ranked by GAC."""
    return retriever + ORACLE


@dataclass
class Params:
    seed: int = 0
    iterations: dict[str, Iteration] = field(default_factory=dict)
    last_iteration: str | None = None  # follows from `iterations`: dvc.yaml names artifacts by it
    compare: dict[str, Pair] = field(default_factory=dict)
    protocol: Protocol = field(default_factory=Protocol)
    generation: Generation = field(default_factory=Generation)
    rollout: Rollout = field(default_factory=Rollout)
    corpus: Corpus = field(default_factory=Corpus)
    questions: Questions = field(default_factory=Questions)
    base: Base = field(default_factory=Base)
    guest: dict[str, Guest] = field(default_factory=dict)
    encoder: Encoder = field(default_factory=Encoder)
    baseline: dict[str, Baseline] = field(default_factory=dict)
    published: dict[str, Published] = field(default_factory=dict)
    oracle: dict[str, Oracle] = field(default_factory=dict)
    index: Index = field(default_factory=Index)
    agent: Agent = field(default_factory=Agent)
    trajectories: Trajectories = field(default_factory=Trajectories)
    visits: Visits = field(default_factory=Visits)
    candidates: Candidates = field(default_factory=Candidates)
    relevance: Relevance = field(default_factory=Relevance)
    correctness: Correctness = field(default_factory=Correctness)
    pairs: Pairs = field(default_factory=Pairs)
    retriever: Retriever = field(default_factory=Retriever)
    replug: Replug = field(default_factory=Replug)
    evaluate: Evaluate = field(default_factory=Evaluate)
    health: Health = field(default_factory=Health)
    report: Report = field(default_factory=Report)
    compute: Compute = field(default_factory=Compute)

    @property
    def pairs_beside(self) -> dict[str, tuple[str, str]]:
        """Name -> (agent, retriever) of what is evaluated beside each iteration's own pair, as the
        tables call them: `compare`, then the oracle rankings."""
        pairs = {name: (pair.agent, pair.retriever) for name, pair in self.compare.items()}
        ranked = {n: (pair.agent, oracle_name(pair.retriever)) for n, pair in self.oracle.items()}
        return pairs | ranked

    @property
    def all_retrievers(self) -> list[str]:
        """Names of the run's retrievers: those to compare with, then R_0, R_1, ..."""
        beside = [*self.baseline, *self.replug.retrievers, *self.published]
        return ["bm25", *beside, "0", *self.iterations]
