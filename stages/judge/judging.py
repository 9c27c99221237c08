"""Label candidates with the judge: a sub-answer for each query, then LR for each candidate."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from stages.common.candidates import QueryCandidates, by_question, find_passages
from stages.common.records import Passage
from stages.common.seeds import seed_of
from stages.common.trajectories import Trajectory, read_trajectories
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
    candidates: list[QueryCandidates], trajectories: str | Path, passages: str | Path
) -> list[JudgedTrajectory]:
    """What the judge is asked about candidates rows, in the order of the trajectory file."""
    grouped = by_question(candidates)
    found = find_passages(passages, candidates)
    return [
        JudgedTrajectory(trajectory, rows, [[found[i] for i in row.ids] for row in rows])
        for trajectory in read_trajectories(trajectories)
        if (rows := grouped.get(trajectory.id))
    ]


def judge_trajectories(
    judge: Judge, prompts: JudgePrompts, asked: list[JudgedTrajectory], block: Relevance
) -> list[dict]:
    """A row for each candidates row of what is asked.

    `scores` is None where the grades stayed malformed, and `failure` then says why; `failed` are
    the rows of the file of failed replies. How a
    trajectory's sub-answers went stands in the first of its rows, so that rows can be added up.
    """
    trajectories = [each.trajectory for each in asked]
    if block.sub_answers:
        gold = block.gold_in_sub_answers
        answers = sub_answers.ask(judge, prompts.sub_answers, trajectories, gold)
    else:
        answers = [sub_answers.none(trajectory) for trajectory in trajectories]
    queries, firsts = [], []
    for each, answer in zip(asked, answers, strict=True):
        queries += [
            relevance.JudgedQuery(
                row.id, row.query.request.query, answer.by_turn[row.query.turn], passages
            )
            for row, passages in zip(each.rows, each.passages, strict=True)
        ]
        firsts += [answer, *[None] * (len(each.rows) - 1)]
    graded = relevance.grade_passages(judge, prompts.relevance, queries, block.window)
    return [
        {
            "id": query.id,
            "sub_answer": query.reference,
            "scores": grades.scores,
            "failure": grades.failure,
            "retries": grades.retries,
            "noised": 0,
            "sub_answer_failure": first.failure if first else None,
            "sub_answer_retries": first.retries if first else 0,
            "failed": [*(first.failed if first else []), *grades.failed],
        }
        for query, grades, first in zip(queries, graded, firsts, strict=True)
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


def judging_metrics(rows: list[dict]) -> dict:
    """Counts in and out, drops by reason, and how the judge's replies went."""
    kept = [row["scores"] for row in rows if row["scores"] is not None]
    return {
        "in": len(rows),
        "out": len(kept),
        "dropped": _reasons(rows, "failure"),
        "retries": sum(row["retries"] for row in rows),
        "noised": sum(row["noised"] for row in rows),
        "with_sub_answer": sum(row["sub_answer"] is not None for row in rows),
        "sub_answers_failed": _reasons(rows, "sub_answer_failure"),
        "sub_answer_retries": sum(row["sub_answer_retries"] for row in rows),
        "mean_score": _mean([score for scores in kept for score in scores.values()]),
        "mean_top_score": _mean([max(scores.values()) for scores in kept]),
        "uniform_share": _mean([int(len(set(scores.values())) == 1) for scores in kept]),
    }


def _reasons(rows: list[dict], key: str) -> dict[str, int]:
    return dict(sorted(Counter(row[key] for row in rows if row[key]).items()))


def _mean(values: list[int]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
