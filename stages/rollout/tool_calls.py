"""Searching by the tool calls of a chat template, as today's instruct models do.

A model writes a call as JSON, {"name": "search", "arguments": {"query": "..."}}, between marks of
its own. What stands around the call and the result is the template's affair: a conversation is
rendered, and what comes after the model's text in it is what the model is shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from stages.plumbing.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from stages.rollout.patterns import PatternMatch

NAME, ARGUMENT = "search", "query"
_WRITTEN = "what-the-model-writes"  # stands for it in a rendered conversation


def query_of_call(call: str) -> str:
    """The query of a call; empty where it is no call of the search with a query of text.

    Arguments beside the query are ignored.
    """
    try:
        told = json.loads(call)
        query = told["arguments"][ARGUMENT] if told["name"] == NAME else ""
        query.encode()  # JSON can hold half a character, which no file and no tokenizer takes
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return ""
    return query.strip() if isinstance(query, str) else ""


def chat_opening(prompt: str, tool: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """The conversation up to the model's first turn; `tool` describes the search to it."""
    asked = [_message("user", prompt)]
    text = _render(asked, tool, tokenizer)
    if text == _render(asked, None, tokenizer):
        raise InputError("the model's chat template has no tools, which 'protocol.tool' needs")
    return text


def after_call(
    content: str,
    tool: str,
    calls: Callable[[str], Iterable[PatternMatch]],
    tokenizer: PreTrainedTokenizerBase,
) -> str:
    """What the template puts between a call of the search and the next turn of the model, where it
    returned `content`; `calls` finds what is read as a call in a text."""
    after = after_function(NAME, ARGUMENT, query_of_call, content, tool, calls, tokenizer)
    if after is None:
        raise InputError(
            "the model's chat template has no tools, or writes a call in another way than "
            "'protocol.search_pattern' reads it"
        )
    return after


def after_function(
    name: str,
    argument: str,
    argument_of_call: Callable[[str], str],
    content: str,
    tool: str | None,
    calls: Callable[[str], Iterable[PatternMatch]],
    tokenizer: PreTrainedTokenizerBase,
) -> str | None:
    """As `after_call`, of a function `name` whose `argument` is read from a call by
    `argument_of_call`; None where `calls` finds no such call."""
    function = {"name": name, "arguments": {argument: _WRITTEN}}
    call = {"type": "function", "function": function}
    calling = _message("assistant", "") | {"tool_calls": [call]}
    text = _render([_message("user", "?"), calling, _message("tool", content)], tool, tokenizer)
    found = (match for match in calls(text) if argument_of_call(match.value) == _WRITTEN)
    return next((text[match.end :] for match in found), None)


def after_text(content: str, tool: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """What the template puts between a turn without a call and the next, where the user says
    `content`."""
    said = _message("assistant", _WRITTEN)
    text = _render([_message("user", "?"), said, _message("user", content)], tool, tokenizer)
    return text.partition(_WRITTEN)[2]


def special_marks(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The tokenizer's special tokens as text: the marks of roles and ends."""
    return [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]


def _message(role: str, content: str) -> dict:
    return {"role": role, "content": content}


def _render(messages: list[dict], tool: str | None, tokenizer: PreTrainedTokenizerBase) -> str:
    from jinja2 import TemplateError

    tools = None if tool is None else [schema(NAME, tool, ARGUMENT, "what to search for")]
    try:
        return tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=True
        )
    except (TemplateError, TypeError) as error:
        raise InputError(f"the model's chat template refuses a tool call: {error}") from None


def schema(name: str, description: str, argument: str, meaning: str) -> dict:
    """What a chat template is told of a tool with one argument, a text."""
    properties = {argument: {"type": "string", "description": meaning}}
    parameters = {"type": "object", "properties": properties, "required": [argument]}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}
