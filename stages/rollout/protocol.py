"""What an agent and its environment say to each other: prompt, actions, information.

The form is Search-R1's (Agentic-R, agent training): reasoning in <think>, a query in <search>,
passages in <information>, the answer in <answer>. Which words the prompt uses and how a passage is
shown are parameters (conf/protocol/), each with the patterns that read an action beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stages import params
from stages.errors import InputError
from stages.records import Passage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Action:
    """What one turn of an agent asks for; `value` is the query or the answer, else empty."""

    kind: Literal["search", "answer", "invalid"]
    thought: str
    value: str


class Protocol:
    """One way of talking, made from the block `protocol` of params.yaml.

    InputError names the key whose pattern or template cannot work.
    """

    def __init__(self, block: params.Protocol):
        self.stop = list(block.stop)
        self.invalid_message = block.invalid_message
        self._block = block
        self._search = _pattern(block.search_pattern, "search_pattern")
        self._answer = _pattern(block.answer_pattern, "answer_pattern")
        self._thought = _pattern(block.thought_pattern, "thought_pattern")
        names = "|".join(map(re.escape, block.tags)) or r"(?!)"
        self._tag = re.compile(rf"</?(?:{names})>")
        self._like_tag = re.compile(rf"<(\s*/?\s*(?:{names})\b)", re.IGNORECASE)
        for key, place in (
            ("prompt", "question"),
            ("information", "passages"),
            ("passage", "text"),
        ):
            if "{" + place + "}" not in getattr(block, key):
                raise InputError(f"params.yaml: 'protocol.{key}' does not contain {{{place}}}")

    def prompt_ids(self, question: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """Token ids of the prompt: plain text, or one user message of the chat template."""
        text = _fill(self._block.prompt, question=question)
        if not self._block.chat:
            return tokenizer.encode(text)
        if not tokenizer.chat_template:
            raise InputError(
                "params.yaml: 'protocol.chat' is true, but the model has no chat template"
            )
        message = [{"role": "user", "content": text}]
        text = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        return tokenizer.encode(text, add_special_tokens=False)

    def parse(self, text: str) -> Action:
        """The action in what the model wrote this turn (and in nothing else).

        The first action to be closed wins, wherever it stands: the stop strings end a turn there.
        Of nested openings the innermost counts. An action that is unclosed or holds another tag is
        no action; a turn whose action is missing or empty is invalid.
        """
        found = [
            ("search", self._find(self._search, text)),
            ("answer", self._find(self._answer, text)),
        ]
        closed = [(match.end(), kind, match) for kind, match in found if match]
        if not closed:
            return Action("invalid", self._thought_of(text), "")
        _, kind, match = min(closed, key=lambda item: item[0])
        thought = self._thought_of(text[: match.start()])
        value = match[1].strip()
        return Action(kind, thought, value) if value else Action("invalid", thought, "")

    def _find(self, pattern: re.Pattern, text: str) -> re.Match | None:
        start = 0
        while match := pattern.search(text, start):
            inner = self._tag.search(text, match.start(1), match.end(1))
            if inner is None:
                return match
            start = inner.start()
        return None

    def _thought_of(self, text: str) -> str:
        match = self._thought.search(text)
        return (match[1] if match else self._tag.sub("", text)).strip()

    def information(self, passages: Sequence[Passage]) -> str:
        """What is appended after a search: the passages in order, their tags made harmless."""
        return _fill(self._block.information, passages=self._lines(passages))

    def fit(
        self, passages: Sequence[Passage], tokenizer: PreTrainedTokenizerBase, max_tokens: int
    ) -> tuple[str, list[int]]:
        """`information` and its token ids, the passages cut at a token's end to fit `max_tokens`.

        The frame around the passages is never cut. Special tokens in a passage are read as text.
        """
        lines = self._lines(passages)
        while True:
            text = _fill(self._block.information, passages=lines)
            ids = encode_text(text, tokenizer)
            excess = len(ids) - max_tokens
            if excess <= 0 or not lines:
                return text, ids
            lines = _cut(lines, excess, tokenizer)

    def _lines(self, passages: Sequence[Passage]) -> str:
        return "".join(
            _fill(
                self._block.passage,
                rank=str(rank),
                title=self._neutral(passage.title),
                text=self._neutral(passage.text),
            )
            for rank, passage in enumerate(passages, 1)
        )

    def _neutral(self, text: str) -> str:
        return self._like_tag.sub(r"&lt;\1", text)


def encode_text(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of text from outside: what looks like a special token is encoded as letters."""
    return tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)


def _cut(text: str, tokens: int, tokenizer: PreTrainedTokenizerBase) -> str:
    """`text` without its last `tokens` tokens."""
    encoding = tokenizer(
        text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
    )
    offsets = encoding["offset_mapping"]
    if tokens >= len(offsets):
        return ""
    return text[: min(offsets[-tokens][0], len(text) - 1)]


def _fill(template: str, **values: str) -> str:
    """Put values in the {places} of a template; other braces, and braces in values, stay."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), template)


def _pattern(pattern: str, key: str) -> re.Pattern:
    try:
        compiled = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise InputError(
            f"params.yaml: 'protocol.{key}' is no regular expression ({error})"
        ) from None
    if compiled.groups < 1:
        raise InputError(f"params.yaml: 'protocol.{key}' needs a group around what it reads")
    return compiled
