"""Label candidates with the judge: a sub-answer for each query, then LR for each candidate."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stages.common.candidates import QueryCandidates, by_trajectory, iter_candidates
from stages.common.corpus import WantedPassages
from stages.common.records import Passage
from stages.common.seeds import seed_of
from stages.common.trajectories import Trajectory
from stages.judge import relevance, sub_answers
from stages.judge.asking import Judge
from stages.judge.grammar import HIGHEST, LOWEST
from stages.judge.prompts import Prompt
from stages.params import Relevance


@dataclass(frozen=True)
class JudgePrompts:
    """The judge's two prompts. InputError for a malformed file."""

    sub_answers: Prompt
    relevance: Prompt

    @classmethod
    def load(cls, block: Relevance) -> JudgePrompts:
        """The prompt files that params.yaml names."""
        return cls(
            sub_answers.load(block.sub_answer_prompt, block.gold_in_sub_answers),
            Prompt.load(block.prompt, *relevance.FIELDS),
        )


@dataclass(frozen=True)
class JudgedTrajectory:
    """One trajectory, its candidates rows, and for each of those the passages in rank order."""

    trajectory: Trajectory
    rows: list[QueryCandidates]
    passages: list[list[Passage]]


def asked_of(
    candidates: str | Path, trajectories: str | Path, passages: WantedPassages
) -> Iterator[JudgedTrajectory]:
    """What the judge is asked about a candidates file, trajectory by trajectory."""
    rows = iter_candidates(candidates)
    for trajectory, found in by_trajectory(trajectories, rows, lambda row: row.query, candidates):
        texts = [[passages[identifier] for identifier in row.ids] for row in found]
        yield JudgedTrajectory(trajectory, found, texts)


def judge_trajectories(
    judge: Judge, prompts: JudgePrompts, asked: list[JudgedTrajectory], block: Relevance
) -> list[dict]:
    """A row for each candidates row of what is asked.

    `scores` is None where the grades stayed malformed, and `failure` then says why; `unanswered`
    says why the query's sub-answer could not be read; `failed` are the rows of the file of failed
    replies. How a trajectory's sub-answers went stands in the first of its rows, so that rows can
    be added up.
    """
    trajectories = [each.trajectory for each in asked]
    if block.sub_answers:
        gold = block.gold_in_sub_answers
        answers = sub_answers.ask(judge, prompts.sub_answers, trajectories, gold)
    else:
        answers = [sub_answers.none(trajectory) for trajectory in trajectories]
    queries, firsts, unanswered = [], [], []
    for each, answer in zip(asked, answers, strict=True):
        queries += [
            relevance.JudgedQuery(
                row.id, row.query.request.query, answer.by_turn[row.query.turn], passages
            )
            for row, passages in zip(each.rows, each.passages, strict=True)
        ]
        firsts += [answer, *[None] * (len(each.rows) - 1)]
        unanswered += [answer.failure] * len(each.rows)
    graded = relevance.grade_passages(judge, prompts.relevance, queries, block.window)
    return [
        {
            "id": query.id,
            "sub_answer": query.reference,
            "scores": grades.scores,
            "failure": grades.failure,
            "retries": grades.retries,
            "noised": 0,
            "unanswered": why,
            "sub_answer_failure": first.failure if first else None,
            "sub_answer_retries": first.retries if first else 0,
            "failed": [*(first.failed if first else []), *grades.failed],
        }
        for query, grades, first, why in zip(queries, graded, firsts, unanswered, strict=True)
    ]


def with_noise(row: dict, share: float, seed: int) -> dict:
    """`row` with a share of its grades replaced by uniform draws from 0..100.

    A worse judge, to study how much its accuracy matters. Each grade's lot is drawn by its own
    seed, so a larger share replaces the same grades and more.
    """
    if not share or row["scores"] is None:
        return row
    scores = {}
    for passage, score in row["scores"].items():
        draw = random.Random(seed_of(seed, "relevance noise", row["id"], passage))
        scores[passage] = draw.randint(LOWEST, HIGHEST) if draw.random() < share else score
    changed = sum(scores[passage] != score for passage, score in row["scores"].items())
    return {**row, "scores": scores, "noised": changed}


@dataclass
class JudgingCounts:
    """Counts in and out, drops by reason, and how the judge's replies went, so far.

    `unreferenced`: queries that were graded, yet without the reference that a reply which could not
    be read may have held; the judge's "Not Sure" is no such loss.
    """

    sums: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    sub_answers_failed: Counter[str] = field(default_factory=Counter)
    unreferenced: Counter[str] = field(default_factory=Counter)

    def add(self, row: dict) -> None:
        """Count one more row of `judge_trajectories`."""
        self.sums["in"] += 1
        for key in ("retries", "noised", "sub_answer_retries"):
            self.sums[key] += row[key]
        self.sums["with_sub_answer"] += row["sub_answer"] is not None
        for counter, key in (
            (self.dropped, "failure"),
            (self.sub_answers_failed, "sub_answer_failure"),
        ):
            counter.update([row[key]] if row[key] else [])
        if row["scores"] is None:
            return
        self.unreferenced.update([row["unanswered"]] if row["unanswered"] else [])
        scores = row["scores"].values()
        self.sums.update({"out": 1, "scores": len(scores), "score": sum(scores)})
        self.sums.update({"top": max(scores), "uniform": int(len(set(scores)) == 1)})

    @property
    def lost(self) -> dict[str, int]:
        """How many queries lost their grades or their reference, by reason, each counted once."""
        return self.dropped | {f"sub-answer {why}": n for why, n in self.unreferenced.items()}

    def metrics(self) -> dict:
        """As the metrics file has them."""
        return {
            "in": self.sums["in"],
            "out": self.sums["out"],
            "dropped": dict(sorted(self.dropped.items())),
            "retries": self.sums["retries"],
            "noised": self.sums["noised"],
            "with_sub_answer": self.sums["with_sub_answer"],
            "sub_answers_failed": dict(sorted(self.sub_answers_failed.items())),
            "sub_answer_retries": self.sums["sub_answer_retries"],
            "mean_score": self._mean("score", "scores"),
            "mean_top_score": self._mean("top", "out"),
            "uniform_share": self._mean("uniform", "out"),
        }

    def _mean(self, total: str, count: str) -> float | None:
        return round(self.sums[total] / self.sums[count], 4) if self.sums[count] else None
