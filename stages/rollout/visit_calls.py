"""A second tool: `visit` opens one of the passages that searches have listed.

As agents on the web have it (LRAT, arXiv 2604.04949; ITER, 2608.27912): a search shows ids, titles
and the first words of passages, and what the agent wants to read it opens with a call of its own,
{"name": "visit", "arguments": {"id": "..."}}. What it opened is a label that nobody had to guess.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from stages.common.records import Passage
from stages.plumbing.errors import InputError
from stages.rollout import tool_calls
from stages.rollout.protocol import AgentProtocol, fill_in

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from stages.rollout.patterns import PatternMatch

NAME, ARGUMENT = "visit", "id"


def with_visit_tool(protocol: AgentProtocol) -> AgentProtocol:
    """`protocol`, able to visit if its block has a `visit_tool`. InputError as AgentProtocol."""
    return protocol if protocol.block.visit_tool is None else VisitProtocol(protocol)


def check_taught(protocol: AgentProtocol, model: str | None) -> None:
    """InputError for a visit tool where there is no `model`: no agent made here is taught to call
    one."""
    if protocol.block.visit_tool is not None and model is None:
        raise protocol._wrong("visit_tool", "is taught to no agent made here: give a 'model'")


class VisitProtocol(AgentProtocol):
    """A protocol of tool calls in which a search lists passages and a visit shows one whole.

    What AgentProtocol shows of a search are here lines of `listing`; whole passages are those of
    `opened` and `put_in`, in the form of `passage`.
    """

    def __init__(self, plain: AgentProtocol):
        super().__init__(plain.block)
        self._where = plain._where
        block = self.block
        if block.tool is None:
            raise self._wrong("visit_tool", "needs 'tool', which describes the search")
        if "{id}" not in block.listing:
            raise self._wrong("listing", "does not contain {id}, by which a passage is opened")
        if self._neutral(block.listing) != block.listing:
            raise self._wrong("listing", "holds a tag or a mark; 'information' is the place for it")
        if block.snippet_words < 0:
            raise self._wrong("snippet_words", f"must be at least 0, found {block.snippet_words}")
        if not block.unlisted_message.strip():
            raise self._wrong("unlisted_message", "is empty")
        self.opened = _OpenedProtocol(block)
        self.opened._where = plain._where
        self.put_in = plain

    def prompt_ids(self, question: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """As AgentProtocol has it; the chat template is told of both tools."""
        return super().prompt_ids(question, self._told(tokenizer))

    def refusal(self, tokenizer: PreTrainedTokenizerBase) -> str | None:
        """As AgentProtocol has it; the chat template is told of both tools."""
        return super().refusal(self._told(tokenizer))

    def visited(self, text: str) -> str | None:
        """The id that a turn asks to open; None where its first closed action is another.

        To AgentProtocol, and to what knows no visits, such a turn is invalid.
        """
        call, answer = (next(self._actions(kind, text), None) for kind in ("search", "answer"))
        if call is None or (answer is not None and answer.end < call.end):
            return None
        return id_of_call(call.value) or None

    def _line(self, rank: int, passage: Passage) -> str:
        return fill_in(
            self.block.listing,
            rank=str(rank),
            id=passage.id,
            title=passage.heading,
            name=passage.title,
            snippet=snippet(passage.text, self.block.snippet_words),
        )

    def _told(self, tokenizer: PreTrainedTokenizerBase) -> _BothTools:
        return _BothTools(tokenizer, self.block.visit_tool)


class _OpenedProtocol(AgentProtocol):
    """What stands after a visit: a whole passage, or the protocol's word on an id that was not
    listed."""

    def unlisted(self, tokenizer: PreTrainedTokenizerBase) -> str:
        """What is shown where no search has listed the id."""
        return after_visit(self.block.unlisted_message, self._calls, tokenizer)

    def _framed(self, lines: str, tokenizer: PreTrainedTokenizerBase) -> str:
        lines = lines.strip() if self.block.strip else lines
        text = fill_in(self.block.information, passages=lines)
        return after_visit(text, self._calls, tokenizer)

    @property
    def _calls(self) -> Callable[[str], Iterable[PatternMatch]]:
        return partial(self._actions, "search")


class _BothTools:
    """A tokenizer whose chat template is told of the tool visit beside the tools it is given."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, description: str):
        self._tokenizer = tokenizer
        meaning = "of a passage that the tool search has listed"
        self._visit = tool_calls.schema(NAME, description, ARGUMENT, meaning)

    def __getattr__(self, name: str):
        return getattr(self._tokenizer, name)

    def apply_chat_template(self, messages: list[dict], *, tools=None, **options) -> str:
        """As the tokenizer does it; None is still no tools."""
        both = None if tools is None else [*tools, self._visit]
        return self._tokenizer.apply_chat_template(messages, tools=both, **options)


def id_of_call(call: str) -> str:
    """The id of a call; empty where it is no call of visit with an id, a text or a whole number."""
    try:
        told = json.loads(call)
        found = told["arguments"][ARGUMENT] if told["name"] == NAME else ""
        if type(found) is int:
            found = str(found)
        found.encode()  # JSON can hold half a character, which no file takes
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return ""
    return found.strip() if isinstance(found, str) else ""


def after_visit(
    content: str,
    calls: Callable[[str], Iterable[PatternMatch]],
    tokenizer: PreTrainedTokenizerBase,
) -> str:
    """What the template puts between a call of visit and the next turn of the model, where the
    tool returned `content`; `calls` finds what is read as a call in a text."""
    found = tool_calls.after_function(NAME, ARGUMENT, id_of_call, content, None, calls, tokenizer)
    if found is None:
        raise InputError(
            "the model's chat template writes a call of 'visit' in another way than "
            "'protocol.search_pattern' reads it"
        )
    return found


def snippet(text: str, words: int) -> str:
    """The first `words` of a text (what blanks part), on one line; "..." where it goes on.

    >>> snippet("The artist Soman\\nlives in Kaliton.", 3)
    'The artist Soman ...'
    """
    parts = text.split()
    return " ".join(parts[:words] + (["..."] if len(parts) > words else []))
