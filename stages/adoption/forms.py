"""The log formats that can be adopted, told apart by their keys.

| keys of a row | who writes it |
| --- | --- |
| `response`, a text | Search-R1's form, and ours |
| `output` with `prompt`, the whole conversation as one text | FlashRAG's intermediate_data.json |
| `messages` | chat APIs, with calls of tools or without |
| `input`, `output`, `gts` | verl's dump of rollouts |
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stages import params
from stages.adoption.files import log_rows
from stages.common.records import Question, check_encodable, question_of
from stages.plumbing.errors import InputError
from stages.rollout.protocol import AgentProtocol

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NO_PROMPT = "no_prompt_with_the_question"
# Where an agent's turn begins in the chat templates that are in use.
_AGENT = re.compile(
    r"<\|im_start\|>assistant|<\|start_header_id\|>assistant<\|end_header_id\|>|\[/INST\]"
    r"|<start_of_turn>model|<\|assistant\|>|<｜Assistant｜>"
)
_ASKED = "what-is-asked"  # stands for a question in a prompt


@dataclass(frozen=True)
class RolloutLog:
    """One rollout of another program: its question and either a `text` or `messages`.

    `missing`: why there is neither. `blank`: how many empty gold answers were left out.
    """

    where: str
    question: Question
    text: str | None = None
    messages: list | None = None
    missing: str | None = None
    blank: int = 0


class PromptReader:
    """Finds a question in a prompt, and where a prompt ends; knows the agent's own prompt."""

    def __init__(
        self, protocol: AgentProtocol, block: params.Protocol, tokenizer: PreTrainedTokenizerBase
    ):
        own = tokenizer.decode(protocol.prompt_ids(_ASKED, tokenizer))
        self._head, _, self._tail = own.partition(_ASKED)
        before = block.prompt.partition("{question}")[0].split()
        self._word = before[-1] if before else "Question:"

    def question(self, prompt: str) -> str:
        """The question of a prompt: what follows the word that the agent's own prompt has before
        it, up to the line's end. Empty if there is none.
        """
        if prompt.startswith(self._head) and prompt.endswith(self._tail) and self._tail:
            return prompt[len(self._head) : -len(self._tail)].strip()
        _, found, after = prompt.rpartition(self._word)
        return after.strip().partition("\n")[0].strip() if found else ""

    def response(self, text: str, question: str) -> str | None:
        """What follows the prompt in a whole conversation. None if the question is not in it."""
        _, found, after = text.partition(question)
        if not found:
            return None
        if self._tail.strip() and after.startswith(self._tail):
            return after[len(self._tail) :]
        begun = _AGENT.search(after)
        return (after[begun.end() :] if begun else after).lstrip()


def read_logs(path: Path, prompts: PromptReader) -> Iterator[RolloutLog]:
    """The rollouts in a file. InputError names the line, or the item, that is no rollout."""
    for number, (where, row) in enumerate(log_rows(path)):
        log = _log(row, where, number, prompts)
        check_encodable(log.text or "", "the response", where)
        check_encodable(json.dumps(log.messages, ensure_ascii=False), "messages", where)
        gold = row.get("golden_answers")
        blank = len(gold) - len(log.question.golden_answers) if isinstance(gold, list) else 0
        yield replace(log, blank=blank)


def _log(row: dict, where: str, number: int, prompts: PromptReader) -> RolloutLog:
    output = row.get("output")
    if "response" in row:
        if not isinstance(row["response"], str):
            raise InputError(f"{where}: 'response' must be a text")
        return RolloutLog(where, _question(row, where), text=row["response"])
    if "messages" in row:
        if not isinstance(row["messages"], list):
            raise InputError(f"{where}: 'messages' must be a list")
        return RolloutLog(where, _question(row, where), messages=row["messages"])
    if isinstance(output, dict):
        return _of_conversation(row, output.get("prompt"), where, prompts)
    if isinstance(output, str) and isinstance(row.get("input"), str):
        return _of_dump(row, where, number, prompts)
    raise InputError(
        f"{where}: no rollout: expected 'id', 'question', 'golden_answers' and 'response' (or "
        "'messages', or 'output' with 'prompt'), or 'input', 'output' and 'gts'"
    )


def _question(row: dict, where: str) -> Question:
    for key in ("id", "question", "golden_answers"):
        if key not in row:
            raise InputError(f"{where}: the key '{key}' is missing")
    return question_of(row, where)


def _of_conversation(row: dict, told: object, where: str, prompts: PromptReader) -> RolloutLog:
    question = _question(row, where)
    if isinstance(told, list):
        return RolloutLog(where, question, messages=told)
    if not isinstance(told, str):
        raise InputError(f"{where}: 'output.prompt' must be a text or a list of messages")
    text = prompts.response(told, question.question)
    return RolloutLog(where, question, text=text, missing=NO_PROMPT if text is None else None)


def _of_dump(row: dict, where: str, number: int, prompts: PromptReader) -> RolloutLog:
    """A row of verl's dump, which has no id: its step and its number stand for one."""
    asked = row.get("question") or prompts.question(row["input"])
    gold = row.get("golden_answers", row.get("gts"))
    gold = gold.get("target") if isinstance(gold, dict) else gold
    if gold is None:
        raise InputError(f"{where}: no gold answers ('gts')")
    known = {
        "id": row.get("id", f"{row.get('step', 0)}-{number}"),
        "question": asked if isinstance(asked, str) and asked else "?",
        "golden_answers": [gold] if isinstance(gold, str) else gold,
    }
    question = question_of(known, where)
    if known["question"] == "?":
        return RolloutLog(where, question, missing=NO_PROMPT)
    return RolloutLog(where, question, text=row["output"])
