"""What an agent and its environment say to each other: prompt, actions, information.

The form is Search-R1's (Agentic-R, agent training): reasoning in <think>, a query in <search>,
passages in <information>, the answer in <answer>. Which words the prompt uses and how a passage is
shown are parameters (conf/protocol/), each with the patterns that read an action beside it. Other
agents' forms are other patterns, tags and marks, or calls of a tool (tool_calls.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stages import params
from stages.common.records import Passage
from stages.plumbing.errors import InputError
from stages.rollout import tool_calls

FILE = "protocol.yaml"

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Action:
    """What one turn of an agent asks for; `value` is the query or the answer, else empty."""

    kind: Literal["search", "answer", "invalid"]
    thought: str
    value: str


class Protocol:
    """One way of talking, made from the block `protocol` of params.yaml, or from a file of its own.

    InputError names the key whose pattern or template cannot work.
    """

    def __init__(self, block: params.Protocol, file: str | Path | None = None):
        self.stop = list(block.stop)
        self._block = block
        self._where = f"{file}: '{{}}'" if file else "params.yaml: 'protocol.{}'"
        self._search = self._pattern("search_pattern")
        self._answer = self._pattern("answer_pattern")
        self._thought = self._pattern("thought_pattern")
        names = "|".join(map(re.escape, block.tags)) or r"(?!)"
        marks = "".join(f"|{re.escape(mark)}" for mark in block.marks)
        self._tag = re.compile(rf"</?(?:{names})>{marks}")
        self._like_tag = re.compile(rf"<(?=\s*/?\s*(?:{names})\b)", re.IGNORECASE)
        for key, place in (
            ("prompt", "question"),
            ("information", "passages"),
            ("passage", "text"),
        ):
            if "{" + place + "}" not in getattr(block, key):
                raise self._wrong(key, f"does not contain {{{place}}}")
        if not all(map(str.strip, block.marks)):
            raise self._wrong("marks", "holds an empty mark")
        if self._neutral(block.passage) != block.passage:
            raise self._wrong("passage", "holds a tag or a mark; 'information' is the place for it")
        if block.tool is not None and not block.chat:
            raise self._wrong("tool", "needs 'chat', since the chat template writes the calls")

    def _wrong(self, key: str, reason: str) -> InputError:
        return InputError(f"{self._where.format(key)} {reason}")

    def _pattern(self, key: str) -> re.Pattern:
        try:
            compiled = re.compile(getattr(self._block, key), re.DOTALL)
        except re.error as error:
            raise self._wrong(key, f"is no regular expression ({error})") from None
        if compiled.groups < 1:
            raise self._wrong(key, "needs a group around what it reads")
        return compiled

    def prompt_ids(self, question: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """Token ids of the prompt: plain text, or one user message of the chat template."""
        text = _fill(self._block.prompt, question=question)
        if not self._block.chat:
            return tokenizer.encode(text)
        if not tokenizer.chat_template:
            raise self._wrong("chat", "is true, but the model has no chat template")
        if self._block.tool is not None:
            text = tool_calls.opening(text, self._block.tool, tokenizer)
        else:
            message = [{"role": "user", "content": text}]
            text = tokenizer.apply_chat_template(
                message, tokenize=False, add_generation_prompt=True
            )
        return tokenizer.encode(text, add_special_tokens=False)

    def parse(self, text: str) -> Action:
        """The action in what the model wrote this turn (and in nothing else).

        The first action to be closed wins, wherever it stands: the stop strings end a turn there.
        Of nested openings the innermost counts. An action that is unclosed or holds another tag is
        no action; a turn whose action is missing, empty or (a tool's) malformed is invalid.
        """
        found = [
            ("search", next(self._actions(self._search, text), None)),
            ("answer", next(self._actions(self._answer, text), None)),
        ]
        closed = [(match.end(), kind, match) for kind, match in found if match]
        if not closed:
            return Action("invalid", self._thought_of(text), "")
        _, kind, match = min(closed, key=lambda item: item[0])
        thought = self._thought_of(text[: match.start()])
        value = (match[_place(match)] or "").strip()
        if kind == "search" and self._block.tool is not None:
            value = tool_calls.read_query(value)
            value = "" if self._tag.search(value) else value  # JSON can spell a mark in escapes
        return Action(kind, thought, value) if value else Action("invalid", thought, "")

    def _actions(self, pattern: re.Pattern, text: str) -> Iterator[re.Match]:
        start = 0
        while match := pattern.search(text, start):
            inner = self._tag.search(text, *match.span(_place(match)))
            if inner is None:
                yield match
            start = max(match.start() + 1, inner.start() if inner else match.end())

    def _thought_of(self, text: str) -> str:
        match = self._thought.search(text)
        return (match[1] if match else self._tag.sub("", text)).strip()

    def information(
        self, passages: Sequence[Passage], tokenizer: PreTrainedTokenizerBase | None = None
    ) -> str:
        """What is appended after a search: the passages in order, their tags made harmless.

        Where the protocol has a tool, the frame around them is that of the tokenizer's template.
        """
        return self._framed(self._lines(passages, tokenizer), tokenizer)

    def fit(
        self, passages: Sequence[Passage], tokenizer: PreTrainedTokenizerBase, max_tokens: int
    ) -> tuple[str, list[int]]:
        """`information` and its token ids, the passages cut at a token's end to fit `max_tokens`.

        The frame around the passages is never cut. Special tokens in a passage are read as text.
        """
        lines = self._lines(passages, tokenizer)
        while True:
            text = self._framed(lines, tokenizer)
            ids = self.encode(text, tokenizer)
            excess = len(ids) - max_tokens
            if excess <= 0 or not lines:
                return text, ids
            lines = _cut(lines, excess, tokenizer)

    def refusal(self, tokenizer: PreTrainedTokenizerBase) -> str | None:
        """What is appended after an invalid turn; None where such a turn ends the rollout."""
        message, tool = self._block.invalid_message, self._block.tool
        if message is None or tool is None:
            return message
        return tool_calls.after_text(message, tool, tokenizer)

    def encode(self, text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """Token ids of what is appended. Only a chat template's own role marks become special
        tokens: in a passage they were made harmless."""
        if self._block.tool is not None:
            return tokenizer.encode(text, add_special_tokens=False)
        return encode_text(text, tokenizer)

    def _framed(self, lines: str, tokenizer: PreTrainedTokenizerBase | None) -> str:
        text = _fill(self._block.information, passages=lines)
        if self._block.tool is None:
            return text
        return tool_calls.after_call(
            text, self._block.tool, partial(self._actions, self._search), tokenizer
        )

    def _lines(self, passages: Sequence[Passage], tokenizer: PreTrainedTokenizerBase | None) -> str:
        lines = "".join(
            _fill(self._block.passage, rank=str(rank), title=passage.title, text=passage.text)
            for rank, passage in enumerate(passages, 1)
        )
        special = () if self._block.tool is None else tool_calls.special_marks(tokenizer)
        return self._neutral(lines, tuple(special))

    def _neutral(self, text: str, special: tuple[str, ...] = ()) -> str:
        """`text` with the first sign of every tag and mark as an HTML entity."""
        text = self._like_tag.sub("&lt;", text)
        marks = (*self._block.marks, *special)
        return _like_marks(marks).sub(_entity, text) if marks else text


def load_protocol(folder: str | Path, block: params.Protocol) -> Protocol:
    """How the agent in `folder` talks: as its protocol.yaml says, else as `block` does."""
    file = Path(folder) / FILE
    return read_protocol(file) if file.exists() else Protocol(block)


def read_protocol(file: str | Path) -> Protocol:
    """The protocol in a file of conf/protocol/'s form. InputError names the file and the key."""
    return Protocol(params.read_block(file, params.Protocol), file)


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


def _place(match: re.Match) -> int:
    """The number of the group that read something: patterns may have one for each of two forms."""
    places = range(1, match.re.groups + 1)
    return next((place for place in places if match[place] is not None), 1)


@lru_cache
def _like_marks(marks: tuple[str, ...]) -> re.Pattern:
    """Matches whatever looks like one of `marks`: in any case, with blanks inside."""
    alike = (r"\s*".join(map(re.escape, "".join(mark.split()))) for mark in marks if mark.strip())
    return re.compile("|".join(alike), re.IGNORECASE)


def _entity(match: re.Match) -> str:
    """A mark with its first sign as an HTML entity."""
    first, rest = match[0][0], match[0][1:]
    return (escape(first) if escape(first) != first else f"&#{ord(first)};") + rest
