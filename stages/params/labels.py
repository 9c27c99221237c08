"""Blocks from trajectories to training instances: what is searched, graded, and kept."""

from __future__ import annotations

from dataclasses import dataclass

from stages.params.choices import CorrectnessMode, PairSource, RelevanceMode, VisitSource


@dataclass
class Trajectories:
    """`questions`: how many training questions are labelled an iteration; null: all."""

    questions: int | None = 150
    fresh: bool = True  # questions of its own each iteration
    max_dropped: float = 0.05  # share of trajectories


@dataclass
class Visits:
    """`miss`: the share of visits that are taken away; `false`: the share of queries that are given
    one that was none. How a judge is asked is said by `relevance`. `verify`, of `tool`: the judge
    is asked whether the agent used what it opened."""

    source: VisitSource = VisitSource.off
    prompt: str = "stages/prompts/visits.yaml"
    verify: bool = False
    miss: float = 0.0
    false: float = 0.0
    max_dropped: float = 0.05  # share of the judge's replies


@dataclass
class Candidates:
    top_k: int = 20


@dataclass
class Relevance:
    mode: RelevanceMode = RelevanceMode.listwise
    prompt: str = "stages/prompts/relevance_short.yaml"
    sub_answer_prompt: str = "stages/prompts/sub_answers_short.yaml"
    window: int = 10
    retries: int = 2
    temperature: float = 0.7
    max_reply_tokens: int = 320
    sub_answers: bool = True
    gold_in_sub_answers: bool = False  # tell the judge the gold answers when it is asked for them
    noise: float = 0.0  # share of grades
    judge_tensor_parallel: int = 1  # devices of one copy of a judge that runs here
    max_dropped: float = 0.05  # share of queries


@dataclass
class Correctness:
    """`top` and `whole_levels` are of lazy."""

    mode: CorrectnessMode = CorrectnessMode.lazy
    top: int | None = None
    whole_levels: bool = True
    max_dropped: float = 0.05  # share of rollouts


@dataclass
class Pairs:
    """`threshold` is of what LR and GAC choose, `max_positives` of all but a ranking; `instances`
    null: all that there are. `tiers`: of visits alone; the negatives are ITER's, up to `negatives`
    (stages/selection/tiers.py)."""

    source: PairSource = PairSource.gac
    threshold: int = 60
    max_positives: int = 3
    negatives: int = 15
    tiers: bool = False
    instances: int | None = None
