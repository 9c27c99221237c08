"""Ask the judge, and ask again while its reply cannot be parsed.

The first try is greedy. A reply that cannot be read is asked for again at a temperature, with
noise named by (question, try), so that tries differ from each other and a run from no other run.
The last reply to a question that stayed unread is kept, as a row of the file of failed replies.
Of a reply that ran into the token limit the last line is not read: its number may be half of one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.common.seeds import seed_of
from stages.engines.cut import Cut
from stages.engines.tokenizer import encode_text
from stages.judge.prompts import ABSENT, MalformedReply, Prompt
from stages.judge.reasoning import is_mark, opened
from stages.plumbing.errors import InputError

if TYPE_CHECKING:
    from stages.engines.generator import Generator

TOO_LONG = "prompt_too_long"
CUT_OFF = "cut_off"
PLACE = "<the prompt>"


@dataclass(frozen=True)
class Ask:
    """One question to the judge: a name for its seeds, the text, and how to read the reply."""

    name: str
    text: str
    read: Callable[[str], object]


@dataclass(frozen=True)
class JudgeReply:
    """What the judge said (None if no try could be read), the last failure, and the retries.

    `failed`, of a question that stayed unread: {id, reply, reason, tries}, the reply None where the
    judge was not asked.
    """

    value: object | None
    failure: str | None
    retries: int
    failed: dict | None = None


@dataclass(frozen=True)
class Judge:
    """A judging language model and how it is asked."""

    generator: Generator
    seed: int
    retries: int
    temperature: float
    max_reply_tokens: int

    def ask(self, prompt: Prompt, asks: list[Ask]) -> list[JudgeReply]:
        """A reply to each of `asks`, in order. The retries of all of them share their batches."""
        prompts = [encode_prompt(prompt, ask.text, self.generator.tokenizer) for ask in asks]
        room = self.generator.window - self.max_reply_tokens
        replies = [_failed(ask, None, TOO_LONG, 0) for ask in asks]
        begun = reply_opening(prompt, self.generator.tokenizer)
        live = [i for i, ids in enumerate(prompts) if len(ids) <= room]
        for attempt in range(1 + self.retries):
            texts = self._write(prompt, [(asks[i], prompts[i]) for i in live], attempt)
            for i, (text, cut) in zip(live, texts, strict=True):
                replies[i] = _read(asks[i], opened(text, begun), cut, attempt)
            live = [i for i in live if replies[i].failure]
        return replies

    def _write(self, prompt: Prompt, sent: list[tuple[Ask, list[int]]], attempt: int):
        """(reply, whether it was cut off) to each prompt."""
        if not sent:
            return []
        written = self.generator.generate(
            [ids for _, ids in sent],
            stop=prompt.stop,
            max_new_tokens=self.max_reply_tokens,
            temperature=self.temperature if attempt else 0.0,
            keys=[seed_of(self.seed, "judge", ask.name, attempt) for ask, _ in sent],
        )
        return [
            (text, self._is_cut(ids, text, prompt.stop))
            for ids in written
            for text in (decode(ids, self.generator.tokenizer),)
        ]

    def _is_cut(self, ids: list[int], text: str, stop: list[str]) -> bool:
        full = isinstance(ids, Cut) or len(ids) >= self.max_reply_tokens
        return full and not any(each in text for each in stop)


def decode(ids: list[int], tokenizer) -> str:
    """The text without special tokens, but for those that stand around a thought."""
    special = set(tokenizer.all_special_ids)
    marks = {i for i in special & set(ids) if is_mark(tokenizer.convert_ids_to_tokens(i))}
    if not marks:
        return tokenizer.decode(ids, skip_special_tokens=True)
    return tokenizer.decode([i for i in ids if i in marks or i not in special])


def encode_prompt(prompt: Prompt, text: str, tokenizer) -> list[int]:
    """Token ids of a rendered prompt, through the chat template if its file says so.

    The text holds passages, so what looks like a special token in it is encoded as letters.
    """
    if not prompt.chat:
        return encode_text(text, tokenizer)
    before, after = (tokenizer.encode(part, add_special_tokens=False) for part in _frame(tokenizer))
    return before + encode_text(text.strip(), tokenizer) + after


def reply_opening(prompt: Prompt, tokenizer) -> str:
    """What every prompt of the file ends with, which may be the tag that opens a thought."""
    return _frame(tokenizer)[1] if prompt.chat else prompt.template.rpartition("}")[2]


def _frame(tokenizer) -> tuple[str, str]:
    """What the chat template writes before and after a user message."""
    if not tokenizer.chat_template:
        raise InputError("the judge has no chat template: choose prompt files without 'chat: true'")
    message = [{"role": "user", "content": PLACE}]
    frame = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    before, _, after = frame.partition(PLACE)
    return before, after


def _read(ask: Ask, text: str, cut: bool, attempt: int) -> JudgeReply:
    try:
        return JudgeReply(ask.read(text.rpartition("\n")[0] if cut else text), None, attempt)
    except MalformedReply as failure:
        reason = CUT_OFF if cut and str(failure) in ABSENT else str(failure)
        return _failed(ask, text, reason, attempt)


def _failed(ask: Ask, text: str | None, reason: str, attempt: int) -> JudgeReply:
    tries = 0 if text is None else attempt + 1
    row = {"id": ask.name, "reply": text, "reason": reason, "tries": tries}
    return JudgeReply(None, reason, attempt, row)
