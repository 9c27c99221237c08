"""GAC, global answer correctness: does the final answer come out right? (Agentic-R, step B5)

A candidate passage ALONE is put in as the information of turn i, and the agent finishes the
trajectory with R_(k-1); GAC is the exact match of its answer, 0 without an answer.

Selection (step B6) needs of GAC only the highest LR level, at or above the threshold, at which
some candidate has GAC = 1, and which candidates of that level have it. So the lazy mode evaluates
whole levels of equal LR from the highest down and stops at the first that holds a GAC = 1. The
instances are exactly those of the exhaustive mode. (Laziness is ours; the paper evaluates all.)
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from stages.params import CorrectnessMode
from stages.records import Passage
from stages.rollout import loop

SHARD = 256  # rollouts that are lost at most when the process dies
Evaluate = Callable[[list[tuple[str, str]]], list[int]]


def levels(
    candidates: list[str], relevance: dict[str, int] | None, mode: CorrectnessMode, threshold: int
) -> list[list[str]]:
    """The passages to evaluate, in the levels after which evaluation may stop.

    Lazy: levels of equal LR, descending, down to `threshold`. Exhaustive, or without LR: one level
    of all candidates.
    """
    if mode is CorrectnessMode.off:
        return []
    if mode is CorrectnessMode.exhaustive or relevance is None:
        return [candidates]
    wanted = [c for c in candidates if relevance[c] >= threshold]
    wanted.sort(key=lambda c: -relevance[c])
    return [list(level) for _, level in itertools.groupby(wanted, key=relevance.__getitem__)]


def by_levels(
    plans: dict[str, list[list[str]]],
    evaluate: Evaluate,
    planned: Callable[[int], None] = lambda pairs: None,
) -> dict[str, dict[str, int]]:
    """GAC of each query's passages, level by level until a level holds a GAC = 1.

    `plans` maps a query's id to its levels; `evaluate` gets (query id, passage id) pairs. All
    queries advance together, one level a wave, so that batches stay full. `planned` is told
    before each wave how many pairs are left at most.
    """
    scores = {query: {} for query in plans}
    for wave in itertools.count():
        live = [q for q, plan in plans.items() if wave < len(plan) and 1 not in scores[q].values()]
        if not live:
            return scores
        planned(sum(len(level) for query in live for level in plans[query][wave:]))
        asked = [(query, passage) for query in live for passage in plans[query][wave]]
        for (query, passage), score in zip(asked, evaluate(asked), strict=True):
            scores[query][passage] = score


@dataclass
class Finisher:
    """The agent that finishes trajectories from a query answered by one passage.

    Rollouts run in shards of `SHARD`; `shard(name, compute)` keeps the rows of finished ones, so
    that a run that was killed goes on where it was.
    """

    queries: dict[str, dict]  # rows of candidates by id
    trajectories: dict[str, dict]  # rows of trajectories by question id
    passages: dict[str, Passage]
    agent: object
    search: Callable
    protocol: object
    limits: loop.Limits
    shard: Callable[[str, Callable[[], list[dict]]], list[dict]]
    advance: Callable[[int], None] = lambda rollouts: None
    rollouts: int = 0
    known: dict[str, int] = field(default_factory=dict)

    def __call__(self, asked: list[tuple[str, str]]) -> list[int]:
        """GAC of (query id, passage id) pairs: one rollout for each distinct context."""
        contexts = [self._context(query, passage) for query, passage in asked]
        new = {c: a for c, a in zip(contexts, asked, strict=True) if c not in self.known}
        for start in range(0, len(new), SHARD):
            part = list(new)[start : start + SHARD]
            pairs = [new[context] for context in part]
            rows = self.shard(f"{self.rollouts:08d}", lambda pairs=pairs: self._finish(pairs))
            self.known |= {c: row["em"] for c, row in zip(part, rows, strict=True)}
            self.rollouts += len(part)
            self.advance(len(part))
        self.advance(len(asked) - len(new))
        return [self.known[context] for context in contexts]

    def _finish(self, pairs: list[tuple[str, str]]) -> list[dict]:
        """Finish the trajectories of `pairs`: a row {"em"} for each."""
        rollouts = [self._start(query, passage) for query, passage in pairs]
        loop.run(rollouts, self.agent, self.search, self.protocol, self.limits)
        return [{"em": loop.record(rollout)["em"]} for rollout in rollouts]

    def _start(self, query: str, passage: str) -> loop.Rollout:
        row = self.queries[query]
        trajectory = self.trajectories[row["question_id"]]
        alone = [self.passages[passage]]
        return loop.prefix(
            trajectory, row["turn"], alone, self.protocol, self.agent.tokenizer, self.limits
        )

    def _context(self, query: str, passage: str) -> str:
        """A digest of all that the rollout depends on: what was said, and what is right."""
        row = self.queries[query]
        trajectory = self.trajectories[row["question_id"]]
        turns = trajectory["turns"][: row["turn"] + 1]
        said = [(turn["text"], turn["information"]) for turn in turns[:-1]]
        context = [
            trajectory["question"],
            trajectory["golden_answers"],
            said,
            turns[-1]["text"],
            self.passages[passage].contents,
        ]
        return hashlib.sha256(json.dumps(context).encode()).hexdigest()


def figures(
    scores: dict[str, dict[str, int]],
    plans: dict[str, list[list[str]]],
    rollouts: int,
    candidates: int,
) -> dict:
    """Counts, the saving against a rollout for each of `candidates`, and the rate of GAC = 1."""
    values = [score for query in scores.values() for score in query.values()]
    evaluated = [sum(1 for level in plans[query] if level[0] in scores[query]) for query in scores]
    return {
        "in": len(scores),
        "out": len(scores),
        "dropped": {},
        "rollouts": rollouts,
        "rollouts_exhaustive": candidates,
        "rollouts_saved": candidates - rollouts,
        "saved_share": _share(candidates - rollouts, candidates),
        "evaluated": len(values),
        "correct": sum(values),
        "correct_rate": _share(sum(values), len(values)),
        "queries_with_correct": sum(1 in query.values() for query in scores.values()),
        "levels": sum(evaluated),
        "levels_per_query": _share(sum(evaluated), len(scores)),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
