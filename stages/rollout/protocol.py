"""What an agent and its environment say to each other: prompt, actions, information.

The form is Search-R1's (Agentic-R, agent training): reasoning in <think>, a query in <search>,
passages in <information>, the answer in <answer>. Which words the prompt uses and how a passage is
shown are parameters (conf/protocol/), each with the patterns that read an action beside it. Other
agents' forms are other patterns, tags and marks, or calls of a tool (tool_calls.py).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from html import escape
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stages import params
from stages.common.records import Passage
from stages.engines.tokenizer import encode_text
from stages.plumbing.errors import InputError
from stages.rollout import tool_calls
from stages.rollout.patterns import LIMIT, Pattern, PatternMatch, SlowPattern

FILE = "protocol.yaml"

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Action:
    """What one turn of an agent asks for; `value` is the query or the answer, else empty."""

    kind: Literal["search", "answer", "invalid"]
    thought: str
    value: str


class AgentProtocol:
    """One way of talking, made from the block `key` of params.yaml, or from a file of its own.

    InputError names the key whose pattern or template cannot work.
    """

    def __init__(
        self, block: params.Protocol, file: str | Path | None = None, key: str = "protocol"
    ):
        self.stop = list(block.stop)
        self.block = block
        self._where = f"{file}: '{{}}'" if file else f"params.yaml: '{key}.{{}}'"
        self._stop = re.compile("|".join(map(re.escape, sorted(block.stop, key=len))) or r"(?!)")
        self._search = self._pattern("search_pattern")
        self._answer = self._pattern("answer_pattern")
        self._thought = self._pattern("thought_pattern")
        names = "|".join(map(re.escape, block.tags)) or r"(?!)"
        marks = "".join(f"|{re.escape(mark)}" for mark in block.marks)
        self._tag = re.compile(rf"</?(?:{names})>{marks}")
        # Possessive: blanks are never given back, or long runs of them would be tried in all ways.
        self._like_tag = re.compile(rf"<(?=\s*+(?:/\s*+)?(?:{names})\b)", re.IGNORECASE)
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
        if block.tool is not None and block.retokenise:
            raise self._wrong("retokenise", "cannot go with 'tool': role marks are no text")
        if not all(block.stop):
            raise self._wrong("stop", "holds an empty text")

    def _wrong(self, key: str, reason: str) -> InputError:
        return InputError(f"{self._where.format(key)} {reason}")

    def _pattern(self, key: str) -> Pattern:
        try:
            return Pattern(getattr(self.block, key))
        except ValueError as error:
            raise self._wrong(key, str(error)) from None

    def prompt(self, question: str) -> str:
        """What the agent is asked, before any chat template."""
        return fill_in(self.block.prompt, question=question)

    def prompt_ids(self, question: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """Token ids of the prompt: plain text, or one user message of the chat template."""
        text = self.prompt(question)
        if not self.block.chat:
            return tokenizer.encode(text)
        if not tokenizer.chat_template:
            raise self._wrong("chat", "is true, but the model has no chat template")
        if self.block.tool is not None:
            text = tool_calls.chat_opening(text, self.block.tool, tokenizer)
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
        found = [(kind, next(self._actions(kind, text), None)) for kind in ("search", "answer")]
        closed = [(match.end, kind, match) for kind, match in found if match]
        if not closed:
            return Action("invalid", self._thought_of(text), "")
        _, kind, match = min(closed, key=lambda item: item[0])
        thought = self._thought_of(text[: match.start])
        value = match.value.strip()
        if kind == "search" and self.block.tool is not None:
            value = tool_calls.query_of_call(value)
            value = "" if self._tag.search(value) else value  # JSON can spell a mark in escapes
        return Action(kind, thought, value) if value else Action("invalid", thought, "")

    def end_of_turn(self, text: str, start: int = 0) -> int:
        """Where the turn that begins at `start` ends: with the first stop string, else with `text`.

        A token may hold more than the end of a stop string: `>` and two line breaks are one token
        of Qwen's vocabulary. What it holds beyond was not asked for.
        """
        match = self._stop.search(text, start)
        return match.end() if match else len(text)

    def _actions(self, kind: Literal["search", "answer"], text: str) -> Iterator[PatternMatch]:
        find = (self._search if kind == "search" else self._answer).finder(text)
        start = 0
        try:
            while match := find(start):
                inner = self._tag.search(text, *match.inner)
                if inner is None:
                    yield match
                start = max(match.start + 1, inner.start() if inner else match.end)
        except SlowPattern:
            raise self._slow(f"{kind}_pattern", text) from None

    def _slow(self, key: str, text: str) -> InputError:
        reason = f"takes more than {LIMIT:g} seconds on a text of {len(text)} characters"
        return self._wrong(key, f"{reason}: repeat nothing inside of a repetition")

    def _thought_of(self, text: str) -> str:
        try:
            match = self._thought.finder(text)(0)
        except SlowPattern:
            raise self._slow("thought_pattern", text) from None
        return (match.value if match else self._tag.sub("", text)).strip()

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
        text, ids, _ = self.fitted(passages, tokenizer, max_tokens)
        return text, ids

    def fitted(
        self, passages: Sequence[Passage], tokenizer: PreTrainedTokenizerBase, max_tokens: int
    ) -> tuple[str, list[int], bool]:
        """What `fit` gives, and whether anything was cut."""
        lines = whole = self._lines(passages, tokenizer)
        while True:
            text = self._framed(lines, tokenizer)
            ids = self.encode(text, tokenizer)
            excess = len(ids) - max_tokens
            if excess <= 0 or not lines:
                return text, ids, lines != whole
            lines = _cut(lines, excess, tokenizer)

    def refusal(self, tokenizer: PreTrainedTokenizerBase) -> str | None:
        """What is appended after an invalid turn; None where such a turn ends the rollout."""
        message, tool = self.block.invalid_message, self.block.tool
        if message is None or tool is None:
            return message
        return tool_calls.after_text(message, tool, tokenizer)

    def encode(self, text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """Token ids of what is appended. Only a chat template's own role marks become special
        tokens: in a passage they were made harmless."""
        if self.block.tool is not None:
            return tokenizer.encode(text, add_special_tokens=False)
        return encode_text(text, tokenizer)

    def conversation(
        self,
        prompt: list[int],
        said: Sequence[tuple[str, bool]],
        tokenizer: PreTrainedTokenizerBase,
    ) -> tuple[list[int], list[int]]:
        """Token ids of a conversation as one text, and their mask: 1 where the model wrote.

        `said` are the texts after the prompt, with whether the model wrote them. A token that
        begins in one and ends in the next counts as of the first. Special tokens are the prompt's
        alone.
        """
        special = set(tokenizer.all_special_ids) | {
            number for number, token in tokenizer.added_tokens_decoder.items() if token.special
        }
        head = next((n for n in range(len(prompt), 0, -1) if prompt[n - 1] in special), 0)
        pieces = [(tokenizer.decode(prompt[head:], clean_up_tokenization_spaces=False), False)]
        pieces += said
        encoding = tokenizer(
            "".join(text for text, _ in pieces),
            add_special_tokens=False,
            split_special_tokens=True,
            return_offsets_mapping=True,
        )
        ends = list(accumulate(len(text) for text, _ in pieces))
        last = len(pieces) - 1
        mask = [
            int(pieces[min(bisect_right(ends, start), last)][1])
            for start, _ in encoding["offset_mapping"]
        ]
        return prompt[:head] + encoding["input_ids"], [0] * head + mask

    @property
    def retokenise(self) -> bool:
        """Whether the agent reads the conversation tokenised anew as one text every turn."""
        return self.block.retokenise

    def _framed(self, lines: str, tokenizer: PreTrainedTokenizerBase | None) -> str:
        lines = lines.strip() if self.block.strip else lines
        text = fill_in(self.block.information, passages=lines)
        if self.block.tool is None:
            return text
        return tool_calls.after_call(
            text, self.block.tool, partial(self._actions, "search"), tokenizer
        )

    def _lines(self, passages: Sequence[Passage], tokenizer: PreTrainedTokenizerBase | None) -> str:
        lines = "".join(self._line(rank, passage) for rank, passage in enumerate(passages, 1))
        special = () if self.block.tool is None else tool_calls.special_marks(tokenizer)
        return self._neutral(lines, tuple(special))

    def _line(self, rank: int, passage: Passage) -> str:
        """A passage as a search shows it."""
        return fill_in(
            self.block.passage,
            rank=str(rank),
            title=passage.heading,
            name=passage.title,
            text=passage.text,
        )

    def _neutral(self, text: str, special: tuple[str, ...] = ()) -> str:
        """`text` with the first sign of every tag and mark as an HTML entity."""
        text = self._like_tag.sub("&lt;", text)
        marks = (*self.block.marks, *special)
        return _like_marks(marks).sub(_entity, text) if marks else text


def load_protocol(folder: str | Path, block: params.Protocol) -> AgentProtocol:
    """How the agent in `folder` talks: as its protocol.yaml says, else as `block` does."""
    file = Path(folder) / FILE
    return read_protocol(file) if file.exists() else AgentProtocol(block)


def read_protocol(file: str | Path) -> AgentProtocol:
    """The protocol in a file of conf/protocol/'s form. InputError names the file and the key."""
    return AgentProtocol(params.read_block(file, params.Protocol), file)


def _cut(text: str, tokens: int, tokenizer: PreTrainedTokenizerBase) -> str:
    """`text` without its last `tokens` tokens."""
    encoding = tokenizer(
        text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
    )
    offsets = encoding["offset_mapping"]
    if tokens >= len(offsets):
        return ""
    return text[: min(offsets[-tokens][0], len(text) - 1)]


def fill_in(template: str, **values: str) -> str:
    """Put values in the {places} of a template; other braces, and braces in values, stay."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), template)


@lru_cache
def _like_marks(marks: tuple[str, ...]) -> re.Pattern:
    """Matches whatever looks like one of `marks`: in any case, with blanks inside."""
    alike = (r"\s*+".join(map(re.escape, "".join(mark.split()))) for mark in marks if mark.strip())
    return re.compile("|".join(alike), re.IGNORECASE)


def _entity(match: re.Match) -> str:
    """A mark with its first sign as an HTML entity."""
    first, rest = match[0][0], match[0][1:]
    return (escape(first) if escape(first) != first else f"&#{ord(first)};") + rest
