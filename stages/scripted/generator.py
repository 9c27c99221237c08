"""The demonstrations' searcher as a generator that reads its prompt: no model, no mistake.

It bounds from above what an agent of this protocol can do with a retriever, and tests the loop
without training. Pipelines evaluate it (`compare`); none trains with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from stages.scripted.actions import answer_text, first_thought, search_text
from stages.scripted.facts import (
    COUNTRY,
    CRAFT_OF_ROLE,
    MAKER,
    MOST_TEACHERS,
    PERSONAL,
    TEACHER,
    UNKNOWN,
    Craft,
    Fact,
    question_text,
    read_fact,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ASKED = re.compile(rf"the (?P<role>{'|'.join(CRAFT_OF_ROLE)}) of the \w++ (?P<title>\w++ \w++)")
_OPENS, _CLOSES = "<information>\n", "</information>"


class ScriptedGenerator:
    """The Generator interface (stages/engines/generator.py) over the scripted searcher."""

    window = 10**9

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer

    def generate(
        self,
        prompts: Sequence[list[int]],
        *,
        stop: Sequence[str],
        max_new_tokens: int,
        temperature: float = 0.0,
        keys: Sequence[int] | None = None,
    ) -> list[list[int]]:
        """The next action of each prompt; the same whatever the temperature."""
        return [
            self.tokenizer.encode(next_action(self.tokenizer.decode(prompt)))[:max_new_tokens]
            for prompt in prompts
        ]


def next_action(text: str) -> str:
    """The searcher's next turn, given the conversation so far in the laptop protocol."""
    question = text.partition("\n")[0].removeprefix("Question: ")
    asked = _ASKED.search(question)
    if asked is None:
        return answer_text("find nothing", UNKNOWN)
    craft = CRAFT_OF_ROLE[asked["role"]]
    hops = _hops(question, craft, asked["title"])
    thought, known, failed = first_thought(craft.role), [], 0
    for block in _blocks(text):
        wanted = _wanted(hops, craft, asked["title"], known)
        fact = _found(block, wanted)
        failed = 0 if fact else failed + 1
        thought = f"{wanted.stem} {fact.value if fact else UNKNOWN}"
        if fact:
            known.append(fact.value)
        if len(known) == len(hops):
            return answer_text(thought, known[-1])
        if failed == 2:
            return answer_text(thought, UNKNOWN)
    wanted = _wanted(hops, craft, asked["title"], known)
    return search_text(thought, wanted.reformulation if failed else wanted.query)


def _blocks(text: str) -> Iterator[str]:
    """What stands between the tags of information; a pattern would look for the end of each tag."""
    start = text.find(_OPENS)
    while start >= 0:
        end = text.find(_CLOSES, start + len(_OPENS))
        if end < 0:
            return
        yield text[start + len(_OPENS) : end]
        start = text.find(_OPENS, end)


def _hops(question: str, craft: Craft, title: str) -> list[str]:
    """The relations that a question follows."""
    work = Fact(craft.kind, title, MAKER, "")
    for teachers in range(MOST_TEACHERS + 1):
        person = [MAKER, *[TEACHER] * teachers]
        if question == question_text(work, teachers=teachers):
            return person
        for relation in PERSONAL.values():
            if question == question_text(work, relation.name, teachers=teachers):
                return [*person, relation.name]
            asks = {"country": True, "teachers": teachers}
            if relation.in_country and question == question_text(work, relation.name, **asks):
                return [*person, relation.name, COUNTRY]
    return [MAKER]


def _wanted(hops: list[str], craft: Craft, title: str, known: list[str]) -> Fact:
    """The fact looked for next, its value still empty."""
    relation = hops[len(known)]
    if relation == MAKER:
        return Fact(craft.kind, title, MAKER, "")
    if relation == COUNTRY:
        return Fact("city", known[-1], COUNTRY, "")
    return Fact(craft.profession, known[-1], relation, "")


def _found(block: str, wanted: Fact) -> Fact | None:
    facts = (read_fact(line) for line in block.splitlines())
    return next((fact for fact in facts if fact and fact.key == wanted.key), None)
