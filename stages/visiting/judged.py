"""Visits by a judge: it is asked which of the shown passages the agent's next thought used.

One question a query. A reply that stays unreadable is no visit; it is counted, and kept as a row of
the file of failed replies (stages/judge/asking.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stages.common.records import Passage
from stages.judge.asking import Ask, Judge
from stages.judge.prompts import MalformedReply, Prompt, one_line
from stages.visiting.told import ShownQuery

FIELDS = ("question", "query", "passages", "thought")


@dataclass(frozen=True)
class JudgedVisit:
    """What the judge said of one query: the passage, or None; the failed reply, if it was one."""

    passage: str | None
    retries: int
    failed: dict | None = None


def load_prompt(path: str) -> Prompt:
    """The prompt file. InputError for a malformed one."""
    return Prompt.load(path, *FIELDS)


def ask_visits(
    judge: Judge, prompt: Prompt, asked: Sequence[tuple[ShownQuery, list[Passage]]]
) -> list[JudgedVisit]:
    """Which passage each query's next thought used; a query without one must not be given."""
    replies = judge.ask(prompt, [_ask(prompt, *each) for each in asked])
    found = []
    for (_, passages), reply in zip(asked, replies, strict=True):
        number = 0 if reply.failure else reply.value
        used = passages[number - 1].id if number else None
        found.append(JudgedVisit(used, reply.retries, reply.failed))
    return found


def render(prompt: Prompt, query: ShownQuery, passages: list[Passage]) -> str:
    """The prompt that asks for the passage that one query's next thought used."""
    request = query.query.request
    return prompt.render(
        question=one_line(request.question or ""),
        query=one_line(request.query),
        passages=prompt.numbered([p.text for p in passages], [p.title for p in passages]),
        thought=one_line(query.thought or ""),
    )


def parse(prompt: Prompt, reply: str, shown: int) -> int:
    """The number, from 1, of the passage that a reply names; 0 for none. May be MalformedReply."""

    def number(value: str) -> str:
        if value.casefold() == prompt.missing.casefold():
            return "0"
        if not (value.isascii() and value.isdigit()):
            raise MalformedReply("not_an_integer")
        if not 1 <= int(value) <= shown:
            raise MalformedReply("out_of_range")
        return value

    return int(prompt.parse(reply, 1, number)[0])


def _ask(prompt: Prompt, query: ShownQuery, passages: list[Passage]) -> Ask:
    return Ask(
        f"visits/{query.id}",
        render(prompt, query, passages),
        lambda reply: parse(prompt, reply, len(passages)),
    )
