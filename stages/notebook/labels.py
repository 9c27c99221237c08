"""LR of the passages of one query, asked of a judge as the stage `relevance` asks it."""

from __future__ import annotations

from collections.abc import Sequence

from stages.common.records import Passage
from stages.judge.asking import Judge
from stages.judge.judging import JudgePrompts
from stages.judge.relevance import Grades, JudgedQuery, grade_passages
from stages.params import Params


def grade_query(
    judge: Judge,
    query: str,
    passages: Sequence[Passage],
    params: Params,
    sub_answer: str | None = None,
) -> Grades:
    """A grade from 0 to 100 for each passage. The stage asks the judge for `sub_answer` first."""
    asked = JudgedQuery("asked", query, sub_answer, list(passages))
    prompt = JudgePrompts.load(params.relevance).relevance
    [grades] = grade_passages(judge, prompt, [asked], params.relevance.window)
    return grades
