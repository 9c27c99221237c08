"""The values of parameters that are one of a few."""

from __future__ import annotations

from enum import Enum

DTYPES = ("float32", "bfloat16", "float16")
POOLINGS = ("mean", "cls", "lasttoken")  # of tokens' vectors: their mean, the first, the last


class Engine(Enum):
    """What generates text."""

    transformers = "transformers"
    vllm = "vllm"


class Trainer(Enum):
    """What trains the agent: stages/loop_ppo in this process, or verl on GPUs and clusters."""

    loop = "loop"
    verl = "verl"


class Advantage(Enum):
    """How good a rollout's tokens were, to PPO.

    `gae`: by a value model, token by token (the paper). `grpo`: how far the rollout's reward is
    above the mean of its question's rollouts, in standard deviations, for each of its tokens; there
    is no value model (arXiv 2402.03300).
    """

    gae = "gae"
    grpo = "grpo"


class Kl(Enum):
    """Where the KL to the base agent counts, and by which estimate of it, a token.

    `low_var_loss`: a term of the loss, r - log r - 1 with r = base / policy (the paper's text).
    `k1_reward`: log(policy / base), taken off the reward of its token (the public code).
    """

    low_var_loss = "low_var_loss"
    k1_reward = "k1_reward"


class RelevanceMode(Enum):
    """Whether the judge's local relevance (LR) is used."""

    listwise = "listwise"
    off = "off"


class CorrectnessMode(Enum):
    """How global answer correctness (GAC) is evaluated."""

    lazy = "lazy"
    exhaustive = "exhaustive"
    off = "off"


class VisitSource(Enum):
    """What tells which of the passages that it was shown an agent used: see stages/visiting."""

    off = "off"
    restated = "restated"
    judged = "judged"
    tool = "tool"


class PairSource(Enum):
    """Where the positives of training pairs come from: see stages/selection."""

    gac = "gac"
    visits = "visits"
    visits_then_gac = "visits_then_gac"
    random_shown = "random_shown"
    judge_ranking = "judge_ranking"


class Wording(Enum):
    """With which of a fact's two wordings a guest asks first: see stages/scripted/facts.py."""

    query = "query"
    reformulation = "reformulation"


class IndexKind(Enum):
    """How an index is searched: see stages/retrieval."""

    exact = "exact"
    ivfpq = "ivfpq"
    hnsw = "hnsw"
