"""All that the judge says of the candidates of some trajectories: sub-answers, then LR."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from stages.labels import relevance, sub_answers
from stages.labels.judge import Judge
from stages.labels.prompts import Prompt
from stages.labels.queries import ranked_ids
from stages.params import Relevance
from stages.records import Passage


@dataclass(frozen=True)
class Prompts:
    """The judge's two prompts. InputError for a malformed file."""

    sub_answers: Prompt
    relevance: Prompt

    @classmethod
    def load(cls, block: Relevance) -> Prompts:
        """The prompt files that params.yaml names."""
        return cls(
            Prompt.load(block.sub_answer_prompt, *sub_answers.FIELDS),
            Prompt.load(block.prompt, *relevance.FIELDS),
        )


def judge_trajectories(
    judge: Judge,
    prompts: Prompts,
    trajectories: list[dict],
    candidates: dict[str, list[dict]],
    passages: dict[str, Passage],
    window: int,
) -> list[dict]:
    """A row for each candidates row of the trajectories; `candidates` holds them by question id.

    `scores` is None where the grades stayed malformed, and `failure` then says why. How a
    trajectory's sub-answers went stands in the first of its rows, so that rows can be added up.
    """
    answers = sub_answers.ask(judge, prompts.sub_answers, trajectories)
    asked, firsts = [], []
    for trajectory, answer in zip(trajectories, answers, strict=True):
        rows = candidates[trajectory["id"]]
        asked += [_query(row, answer.by_turn[row["turn"]], passages) for row in rows]
        firsts += [answer, *[None] * (len(rows) - 1)]
    graded = relevance.grade(judge, prompts.relevance, asked, window)
    return [
        {
            "id": query.id,
            "sub_answer": query.reference,
            "scores": grades.scores,
            "failure": grades.failure,
            "retries": grades.retries,
            "clamped": grades.clamped,
            "sub_answer_failure": first.failure if first else None,
            "sub_answer_retries": first.retries if first else 0,
        }
        for query, grades, first in zip(asked, graded, firsts, strict=True)
    ]


def _query(row: dict, reference: str | None, passages: dict[str, Passage]) -> relevance.Query:
    ranked = [passages[identifier] for identifier in ranked_ids(row)]
    return relevance.Query(row["id"], row["query"], reference, ranked)


def figures(rows: list[dict]) -> dict:
    """Counts in and out, drops by reason, and how the judge's replies went."""
    kept = [row["scores"] for row in rows if row["scores"] is not None]
    return {
        "in": len(rows),
        "out": len(kept),
        "dropped": _reasons(rows, "failure"),
        "retries": sum(row["retries"] for row in rows),
        "clamped": sum(row["clamped"] for row in rows),
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
