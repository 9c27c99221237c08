"""Numbers in the parameters: the least and the most that an integer may be, and finite floats."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from stages.params.run import Params

COUNTS = (  # blocks whose integers are all at least 1
    *("agent", "candidates", "compute", "corpus.world", "correctness", "encoder"),
    *(
        "generation",
        "index.hnsw",
        "index.ivfpq",
        "questions",
        "replug",
        "retriever",
        "rollout",
        "trajectories",
    ),
)
LEAST = {  # of other integers, and of those among them that may be less
    "base.hops": 1,
    "questions.development": 0,
    "index.sample": 1,
    "index.candidates": 1,
    "index.recall_queries": 1,
    "relevance.window": 1,
    "relevance.judge_tensor_parallel": 1,
    "relevance.retries": 0,
    "relevance.max_reply_tokens": 1,
    "pairs.max_positives": 1,
    "pairs.negatives": 1,
    "report.cases_per_kind": 0,
    "report.traces": 0,
}
HIGHEST = 2**31 - 1  # of any integer: more of nothing can be run
MOST_WORDS = 100_000  # of a class of the world, which is made in memory
MOST_TITLE_WORDS = 2000  # whose pairs are made
FASTEST = 1e30  # a learning rate; with a larger one an optimiser leaves the range of float32


def integers(params: Params) -> Iterator[tuple[str, int, int]]:
    """(key, value, the least it may be); what is null or no integer has other rules."""
    for block in COUNTS:
        for name, value in vars(attrgetter(block)(params)).items():
            if type(value) is int and f"{block}.{name}" not in LEAST:
                yield f"{block}.{name}", value, 1
    for role in ("agent", "judge"):
        block = getattr(params.base, role)
        least = {"steps": 0 if block.model else 1, "easy_steps": 0}
        for name, value in vars(block).items():
            if type(value) is int:
                yield f"base.{role}.{name}", value, least.get(name, 1)
    own = {f"guest.{name}": guest.rollout for name, guest in params.guest.items()}
    for name, rollout in {**own, "evaluate": params.evaluate.rollout}.items():
        for key, value in vars(rollout).items():
            if type(value) is int:
                yield f"{name}.rollout.{key}", value, 1
    if params.pairs.instances is not None:
        yield "pairs.instances", params.pairs.instances, 1
    for name, pair in params.oracle.items():
        if pair.questions is not None:
            yield f"oracle.{name}.questions", pair.questions, 1
    for name, baseline in params.baseline.items():
        if baseline.max_query_tokens is not None:
            yield f"baseline.{name}.max_query_tokens", baseline.max_query_tokens, 1
    for key, least in LEAST.items():
        yield key, attrgetter(key)(params), least


def highest(tree: dict) -> Iterator[tuple[str, int, int]]:
    """(key, value, the most it may be) of every integer."""
    return ((key, value, _most(key)) for key, value in _leaves(tree) if type(value) is int)


def floats(tree: dict) -> Iterator[tuple[str, float]]:
    """(key, value) of every number that need not be whole."""
    return ((key, value) for key, value in _leaves(tree) if isinstance(value, float))


def _leaves(tree: dict | list, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(value, dict | list):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _most(key: str) -> int:
    if key == "corpus.world.title_words":
        return MOST_TITLE_WORDS
    return MOST_WORDS if key.startswith("corpus.world.") else HIGHEST
