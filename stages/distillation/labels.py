"""REPLUG's training targets: how likely a frozen agent finds the gold answer after each passage.

For each question: the passages that R_0 finds for the question itself, and how likely the gold
answer is after the agent's own first search turn and each passage alone. The turn that holds the
answer is worded as the agent worded its last turn on this question (likelihood.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.common.records import Question
from stages.common.search import Hit, SearchRequest
from stages.common.trajectories import Trajectory
from stages.distillation.likelihood import rate, reworded
from stages.params import Params
from stages.retrieval.searcher import Searcher
from stages.rollout import loop
from stages.rollout.blocks import search_depth

if TYPE_CHECKING:
    from stages.engines.generator import TransformersGenerator
    from stages.rollout.protocol import AgentProtocol

FEW, NO_SEARCH, NO_ANSWER, TOO_LONG = "few_candidates", "no_search", "no_answer", "too_long"
REASONS = (FEW, NO_SEARCH, NO_ANSWER, TOO_LONG)


@dataclass(frozen=True)
class Labeller:
    """The base agent, read by transformers, and R_0's index."""

    reader: TransformersGenerator
    searcher: Searcher
    protocol: AgentProtocol
    params: Params

    def label(self, questions: list[Question], advance: Callable[[int], object]) -> list[dict]:
        """A row for each question: {id, question, passages, likelihoods, prompt_tokens} or {id,
        dropped}.

        `passages` are the contents of the top passages in rank order, `likelihoods` nats a token.
        """
        top_k = self.params.replug.top_k
        requests = [SearchRequest(None, (), question.question) for question in questions]
        found = self.searcher.search(requests, top_k)
        told = self._trajectories(questions)
        kept, rows = [], []
        for question, trajectory, hits in zip(questions, told, found, strict=True):
            reason = FEW if len(hits) < top_k else _unusable(trajectory)
            rows.append({"id": question.id, "dropped": reason})
            if reason is None:
                kept.append((rows[-1], trajectory, hits))
        rated = iter(self._rate(kept))
        for row, trajectory, hits in kept:
            ratings = [next(rated) for _ in hits]
            if any(rating["likelihood"] is None for rating in ratings):
                row["dropped"] = TOO_LONG
                continue
            row |= {
                "question": trajectory.question,
                "passages": [hit.passage.contents for hit in hits],
                "likelihoods": [rating["likelihood"] for rating in ratings],
                "prompt_tokens": sum(rating["prompt_tokens"] for rating in ratings),
            }
        advance(len(rows))
        return rows

    def _trajectories(self, questions: list[Question]) -> list[Trajectory]:
        """The agent's greedy trajectories, which find with R_0 what they search."""
        limits = self.params.rollout
        depth = search_depth(limits, limits.top_k)

        def search(requests: list[SearchRequest]) -> list[list[Hit]]:
            return self.searcher.search(requests, depth)

        rollouts = [loop.start(q, self.protocol, self.reader.tokenizer) for q in questions]
        loop.run(rollouts, self.reader, search, self.protocol, limits)
        return [loop.record(rollout) for rollout in rollouts]

    def _rate(self, kept: list[tuple[dict, Trajectory, list[Hit]]]) -> list[dict]:
        asked = []
        for _, trajectory, hits in kept:
            turns = reworded(trajectory)
            asked += [(trajectory, hit.passage, turns) for hit in hits]
        limits = self.params.rollout
        return rate(asked, self.reader, self.protocol, limits, lambda count: None)


def _unusable(trajectory: Trajectory) -> str | None:
    """Why a trajectory shows no search turn or no wording of an answer."""
    if trajectory.turns[0].query is None:
        return NO_SEARCH
    return NO_ANSWER if trajectory.answer is None else None


def replug_metrics(rows: list[dict]) -> dict:
    """Counts in and out, drops by reason, and tokens read for the likelihoods."""
    dropped = Counter(row["dropped"] for row in rows)
    return {
        "in": len(rows),
        "out": dropped[None],
        "dropped": {reason: dropped[reason] for reason in REASONS},
        "read_tokens": sum(row.get("prompt_tokens", 0) for row in rows),
    }
