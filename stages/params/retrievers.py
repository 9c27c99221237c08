"""Blocks of what makes a retriever: R_0, baselines, contrastive training, REPLUG."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING


@dataclass
class Encoder:
    """R_0: a ready-made model, or (`model` null) a BERT made from scratch on the passages.

    `pooling` (POOLINGS) says how a text's tokens become one vector where the model's files leave
    it open; where they say it, null or the same.
    """

    model: str | None = None
    revision: str | None = None
    pooling: str | None = None
    input: str = "query"
    query_prompt: str = ""
    passage_prompt: str = ""
    max_query_tokens: int | None = None  # in search; null: all that the model reads
    layers: int = 2
    width: int = 128
    heads: int = 4
    max_length: int = 96
    steps: int = 500
    batch_size: int = 128
    learning_rate: float = 1e-3
    warmup: float = 0.1
    temperature: float = 0.05
    words: str = ""
    fillers: str = ""
    families: list[str] = field(default_factory=list)


@dataclass
class Baseline:
    """A ready-made retriever to compare with, a hub id or a folder; `pooling`: as of Encoder."""

    model: str = MISSING
    revision: str | None = None
    pooling: str | None = None
    input: str = "query"
    query_prompt: str = ""
    passage_prompt: str = ""
    max_query_tokens: int | None = None  # in search; null: all that the model reads


@dataclass
class TierWeights:
    """What a negative counts for its own query, by its tier: as so many. ITER's values."""

    redundancy: float = 3.0
    hard: float = 1.0
    weak: float = 0.3


@dataclass
class Retriever:
    """Contrastive training; `processes` is the paper's G: each brings `batch_size` queries.

    `tier_weights`, null: every negative counts as one. `instance_weights`: by the reasoning that
    followed the positive (stages/contrastive/weights.py).
    """

    input: str = "question_query"
    dtype: str = "float32"
    steps: int | None = None
    epochs: int = 2
    processes: int = 1
    batch_size: int = 32
    cached_batch: int | None = None
    learning_rate: float = 2e-5
    weight_decay: float = 0.0
    warmup: float = 0.1
    temperature: float = 0.01
    max_length: int | None = None
    tier_weights: TierWeights | None = None
    instance_weights: bool = False


@dataclass
class Replug:
    """The single-turn baseline; the keys of `retrievers` name what is trained so."""

    retrievers: dict[str, dict] = field(default_factory=dict)
    questions: int = 300
    top_k: int = 20
    temperature: float = 0.05
    likelihood_temperature: float = 0.1
    steps: int = 120
    batch_size: int = 16
    learning_rate: float = 2e-5
    warmup: float = 0.1
