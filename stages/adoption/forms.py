"""The log formats that can be adopted, told apart by their keys.

| keys of a row | who writes it |
| --- | --- |
| `response`, a text | Search-R1's form, and ours |
| `output` with `prompt`, the whole conversation as one text | FlashRAG's intermediate_data.json |
| `messages` | chat APIs, with calls of tools or without |
| `input`, `output`, `gts` | verl's dump of rollouts |

A file holds JSON Lines, or one JSON array; it may be gzipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from stages.adoption.prompts import PromptReader
from stages.common.records import Question, check_encodable
from stages.plumbing.errors import InputError
from stages.sources.arrays import outside_rows
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
    for number, (where, row) in enumerate(outside_rows(path)):
        log = _log(row, where, number, prompts)
        check_encodable(log.text or "", "the response", where)
        check_encodable(json.dumps(log.messages, ensure_ascii=False), "messages", where)
        yield log


def _log(row: dict, where: str, number: int, prompts: PromptReader) -> RolloutLog:
    output = row.get("output")
    if "response" in row:
        if not isinstance(row["response"], str):
            raise InputError(f"{where}: 'response' must be a text")
        log = _asked(row, where)
        return replace(log, text=prompts.cut(row["response"], log.question.question))
    if "messages" in row:
        if not isinstance(row["messages"], list):
            raise InputError(f"{where}: 'messages' must be a list")
        return replace(_asked(row, where), messages=row["messages"])
    if isinstance(output, dict):
        return _of_conversation(row, output.get("prompt"), where, prompts)
    if isinstance(output, str) and isinstance(row.get("input"), str):
        return _of_dump(row, where, number, prompts)
    raise InputError(
        f"{where}: no rollout: expected 'id', 'question', 'golden_answers' and 'response' (or "
        "'messages', or 'output' with 'prompt'), or 'input', 'output' and 'gts'"
    )


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
        "golden_answers": _gold(row.get("golden_answers", row.get("gts")), where),
    }
    log = _asked(known, where)
    if known["question"] == "?":
        return replace(log, missing=NO_PROMPT)
    return replace(log, text=row["output"])


def _gold(gold: object, where: str) -> object:
    """The gold answers of a dump, which may hold them in an object, or in a text that tells one."""
    if isinstance(gold, str) and gold.lstrip().startswith("{"):
        told = value_of(gold)
        gold = told if isinstance(told, dict) else gold
    gold = gold.get("target") if isinstance(gold, dict) else gold
    if gold is None:
        raise InputError(f"{where}: no gold answers ('gts')")
    return texts_of(gold, where) if isinstance(gold, str) else gold
