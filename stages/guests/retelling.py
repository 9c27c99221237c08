"""Rewrite the base agent's demonstrations in another protocol, with other habits.

What is demonstrated stays: the question, the facts that are looked for and found, the passages,
the answer. Retold are its form, the protocol's, and the words of the queries: each fact has two
wordings (stages/scripted/facts.py), and a guest may begin with the other one than our base agent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from stages import params
from stages.common.records import Passage
from stages.rollout.protocol import AgentProtocol
from stages.scripted.facts import CRAFTS, Fact, read_query
from stages.teaching.demonstrations import Segment

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OURS = AgentProtocol(params.Protocol())  # the laptop protocol, in which demonstrations are made
_QUESTION = re.compile(r"Question: (.*)\n")
_INFORMATION = re.compile(r"\n<information>\n(.*)</information>\n", re.DOTALL)
_OPENED = "<think> "  # where a drill tells a fact up to its value, and
_CLOSED = " </think>"  # where the model has told the value


class Retelling:
    """Retells demonstrations as `guest` would have gone through them, in `protocol`.

    The tokenizer gives the chat template of prompts and results, where the protocol has one.
    """

    def __init__(
        self, guest: params.Guest, protocol: AgentProtocol, tokenizer: PreTrainedTokenizerBase
    ):
        self._guest, self._protocol, self._tokenizer = guest, protocol, tokenizer

    def __call__(self, segments: Sequence[Segment]) -> list[Segment]:
        """The same demonstration or drill, segment by segment."""
        return [replace(segment, text=self._retold(segment)) for segment in segments]

    def _retold(self, segment: Segment) -> str:
        text = segment.text
        if found := _QUESTION.fullmatch(text):
            return self._tokenizer.decode(self._protocol.prompt_ids(found[1], self._tokenizer))
        if found := _INFORMATION.fullmatch(text):
            lines = found[1].splitlines()
            passages = [Passage(str(number), "", line) for number, line in enumerate(lines)]
            return self._protocol.information(passages, self._tokenizer)
        action = OURS.parse(text)
        if action.kind == "search":
            query = self._worded(action.value)
            return _filled(self._guest.search, thought=action.thought, query=query)
        if action.kind == "answer":
            return _filled(self._guest.answer, thought=action.thought, answer=action.value)
        before, _, after = self._guest.search.partition("{thought}")
        if text.startswith(_OPENED):
            return before + text.removeprefix(_OPENED)
        if text.endswith(_CLOSED):
            closed = after.startswith(_CLOSED)
            return text if closed else text.removesuffix(_CLOSED)
        return text

    def _worded(self, query: str) -> str:
        """`query`, or the same in the fact's other words where the guest swaps them."""
        if self._guest.wording is params.Wording.query:
            return query
        return other_wording(query)


def other_wording(query: str) -> str:
    """The other of the two wordings that ask for the same fact. ValueError for an unknown query."""
    subject, relation = read_query(query) or ("", "")
    facts = (Fact(craft.kind, subject, relation, "") for craft in CRAFTS if relation)
    for fact in facts:
        if query == fact.query:
            return fact.reformulation
        if query == fact.reformulation:
            return fact.query
    raise ValueError(f"no fact is asked for by {query!r}")


def _filled(template: str, **values: str) -> str:
    """`template` with its {places} filled; all other braces stay."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), template)
