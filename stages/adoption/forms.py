"""The log formats that can be adopted, told apart by their keys.

| keys of a row | who writes it |
| --- | --- |
| `response`, a text | Search-R1's form, and ours |
| `output` with `prompt`, the whole conversation as one text | FlashRAG's intermediate_data.json |
| `messages` | chat APIs, with calls of tools or without |
| `input`, `output`, `gts` | verl's dump of rollouts |

A file holds JSON Lines, or one JSON array; it may be gzipped. `messages` may be a text that tells
them, as in a column of a table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from stages.adoption.files import log_rows
from stages.adoption.messages import AGENT
from stages.adoption.prompts import PromptReader, without_prompt
from stages.common.records import Question, check_encodable
from stages.plumbing.errors import InputError
from stages.sources.cells import texts_of, value_of
from stages.sources.questions import asked_question

NO_PROMPT = "no_prompt_with_the_question"


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


def read_logs(path: Path, prompts: PromptReader) -> Iterator[RolloutLog]:
    """The rollouts in a file. InputError names the line, or the item, that is no rollout."""
    for number, (where, row) in enumerate(log_rows(path)):
        log = _log(row, where, number, prompts)
        check_encodable(log.text or "", "the response", where)
        check_encodable(json.dumps(log.messages, ensure_ascii=False), "messages", where)
        yield log


def _log(row: dict, where: str, number: int, prompts: PromptReader) -> RolloutLog:
    output, messages = row.get("output"), _messages(row)
    if "response" in row and not _is_whole(messages):
        if not isinstance(row["response"], str):
            raise InputError(f"{where}: 'response' must be a text")
        log = _asked(row, where)
        response = without_prompt(row["response"], row.get("prompt"))
        return replace(log, text=prompts.cut(response, log.question.question))
    if "messages" in row:
        if not isinstance(messages, list):
            raise InputError(f"{where}: 'messages' must be a list")
        return replace(_asked(row, where), messages=messages)
    if isinstance(output, dict):
        return _of_conversation(row, output.get("prompt"), where, prompts)
    if isinstance(output, str) and isinstance(row.get("input"), str):
        return _of_dump(row, where, number, prompts)
    raise InputError(
        f"{where}: no rollout: expected 'id', 'question', 'golden_answers' and 'response' (or "
        "'messages', or 'output' with 'prompt'), or 'input', 'output' and 'gts'"
    )


def _messages(row: dict) -> object:
    """The messages of a row; of a text what it tells, as far as JSON has it."""
    messages = row.get("messages")
    if not isinstance(messages, str):
        return messages
    with suppress(TypeError, ValueError):  # Python's sets and bytes
        return json.loads(json.dumps(value_of(messages)))
    return None


def _is_whole(messages: object) -> bool:
    """Whether messages end with the agent's: a `response` beside them repeats its last words. Else
    they are the prompt, and the response is what followed."""
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, dict) and last.get("role") == AGENT


def _asked(row: dict, where: str) -> RolloutLog:
    for key in ("id", "question", "golden_answers"):
        if key not in row:
            raise InputError(f"{where}: the key '{key}' is missing")
    question, blank = asked_question(row, where)
    return RolloutLog(where, question, blank=blank)


def _of_conversation(row: dict, told: object, where: str, prompts: PromptReader) -> RolloutLog:
    log = _asked(row, where)
    if isinstance(told, list):
        return replace(log, messages=told)
    if not isinstance(told, str):
        raise InputError(f"{where}: 'output.prompt' must be a text or a list of messages")
    text = prompts.response(told, log.question.question)
    return replace(log, text=text, missing=NO_PROMPT if text is None else None)


def _of_dump(row: dict, where: str, number: int, prompts: PromptReader) -> RolloutLog:
    """A row of verl's dump, which has no id: its step and its number stand for one."""
    asked = row.get("question") or prompts.question(row["input"])
    known = {
        "id": row.get("id", f"{row.get('step', 0)}-{number}"),
        "question": asked if isinstance(asked, str) and asked else "?",
        "golden_answers": _gold(row, where),
    }
    log = _asked(known, where)
    if known["question"] == "?":
        return replace(log, missing=NO_PROMPT)
    return replace(log, text=row["output"])


def _gold(row: dict, where: str) -> list[str]:
    """The gold answers of a dump, which may hold them in an object, or in a text that tells one."""
    key = "golden_answers" if "golden_answers" in row else "gts"
    gold = row.get(key)
    if isinstance(gold, str) and gold.lstrip().startswith("{"):
        told = value_of(gold)
        gold = told if isinstance(told, dict) else gold
    gold = gold.get("target") if isinstance(gold, dict) else gold
    if gold is None:
        raise InputError(f"{where}: no gold answers ('{key}')")
    answers = texts_of(gold, where) if isinstance(gold, str) else gold
    if not isinstance(answers, list) or not all(isinstance(one, str) for one in answers):
        raise InputError(f"{where}: '{key}' must be a text or a list of texts")
    return answers
