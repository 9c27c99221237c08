"""All that the judge says of the candidates of some trajectories: sub-answers, then LR."""

from __future__ import annotations

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
    """Rows {id, sub_answer, scores, failure, counts} for the candidates rows of each trajectory.

    `candidates` holds them by question id. `scores` is None where the grades stayed malformed, and
    `failure` then says why. `counts` adds up over rows: what a trajectory's sub-answers cost stands
    in the first of its rows.
    """
    answers = sub_answers.ask(judge, prompts.sub_answers, trajectories)
    asked, counts = [], []
    for trajectory, answer in zip(trajectories, answers, strict=True):
        rows = candidates[trajectory["id"]]
        asked += [_query(row, answer.by_turn[row["turn"]], passages) for row in rows]
        counts += [_counts(answer, first=number == 0) for number in range(len(rows))]
    graded = relevance.grade(judge, prompts.relevance, asked, window)
    return [
        {
            "id": query.id,
            "sub_answer": query.reference,
            "scores": grades.scores,
            "failure": grades.failure,
            "counts": count | {"relevance_retries": grades.retries, "clamped": grades.clamped},
        }
        for query, grades, count in zip(asked, graded, counts, strict=True)
    ]


def _query(row: dict, reference: str | None, passages: dict[str, Passage]) -> relevance.Query:
    ranked = [passages[identifier] for identifier in ranked_ids(row)]
    return relevance.Query(row["id"], row["query"], reference, ranked)


def _counts(answer: sub_answers.SubAnswers, first: bool) -> dict[str, int]:
    return {
        "sub_answers_malformed": int(first and answer.malformed),
        "sub_answer_retries": answer.retries if first else 0,
    }


def figures(rows: list[dict]) -> dict:
    """Counts in and out, drops by reason, and how the judge's replies went."""
    kept = [row["scores"] for row in rows if row["scores"] is not None]
    dropped: dict[str, int] = {}
    for row in rows:
        if row["failure"]:
            dropped[row["failure"]] = dropped.get(row["failure"], 0) + 1
    totals = {
        key: sum(row["counts"][key] for row in rows)
        for key in ("sub_answers_malformed", "sub_answer_retries", "relevance_retries", "clamped")
    }
    return {
        "in": len(rows),
        "out": len(kept),
        "dropped": dict(sorted(dropped.items())),
        "with_sub_answer": sum(row["sub_answer"] is not None for row in rows),
        **totals,
        "mean_score": _mean([score for scores in kept for score in scores.values()]),
        "mean_top_score": _mean([max(scores.values()) for scores in kept]),
    }


def _mean(values: list[int]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
