"""LR, local relevance: how well a passage answers one query by itself (Agentic-R, step B4).

Listwise: the judge sees a window of candidates at once and prints an integer for each. (The paper's
text puts all 20 in one window, its public code 10.) A number outside 0..100 is no grade: the reply
is malformed, as any other that stages/judge/grammar.py does not read.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stages.common.records import Passage
from stages.judge.asking import Ask, Judge
from stages.judge.decoration import unlabelled
from stages.judge.grammar import check_words, grade_of
from stages.judge.prompts import Prompt
from stages.judge.reasoning import without_reasoning

FIELDS = ("query", "reference", "passages")


@dataclass(frozen=True)
class JudgedQuery:
    """A query with its candidates in rank order, and the sub-answer if there is one."""

    id: str
    query: str
    reference: str | None
    passages: list[Passage]


@dataclass(frozen=True)
class Grades:
    """LR by passage id (None if a window stayed malformed: `failure` says why), the retries, and
    the windows that stayed malformed as rows of the file of failed replies."""

    scores: dict[str, int] | None
    failure: str | None
    retries: int
    failed: list[dict] = field(default_factory=list)


def render(prompt: Prompt, query: str, reference: str | None, passages: list[Passage]) -> str:
    """The prompt that asks for the grades of one window of passages."""
    return prompt.render(
        query=query,
        reference=prompt.missing if reference is None else reference,
        passages=prompt.numbered([p.text for p in passages], [p.title for p in passages]),
    )


def parse(prompt: Prompt, reply: str, count: int) -> list[int]:
    """The reply's `count` grades (0..100), in the window's order. May be MalformedReply."""
    grades = [int(digits) for digits in prompt.parse(reply, count, grade_of, numbers=True)]
    check_words(unlabelled(without_reasoning(reply)), grades)
    return grades


def grade_passages(
    judge: Judge, prompt: Prompt, queries: list[JudgedQuery], window: int
) -> list[Grades]:
    """LR of all candidates of each query, by windows of `window` candidates."""
    windows = [
        (number, query.passages[start : start + window])
        for number, query in enumerate(queries)
        for start in range(0, len(query.passages), window)
    ]
    replies = judge.ask(prompt, [_ask(prompt, queries[n], part) for n, part in windows])
    by_query = [[] for _ in queries]
    for (number, part), reply in zip(windows, replies, strict=True):
        by_query[number].append((part, reply))
    return [_grades(parts) for parts in by_query]


def _ask(prompt: Prompt, query: JudgedQuery, part: list[Passage]) -> Ask:
    return Ask(
        f"relevance/{query.id}/{part[0].id}",
        render(prompt, query.query, query.reference, part),
        lambda reply: parse(prompt, reply, len(part)),
    )


def _grades(parts: list[tuple]) -> Grades:
    """One query's grades from the replies to its windows."""
    retries = sum(reply.retries for _, reply in parts)
    failed = [reply.failed for _, reply in parts if reply.failure]
    if failed:
        return Grades(None, failed[0]["reason"], retries, failed)
    scores = {
        passage.id: score
        for part, reply in parts
        for passage, score in zip(part, reply.value, strict=True)
    }
    return Grades(scores, None, retries)
