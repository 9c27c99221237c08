"""Conversations that another program has logged: Search-R1's form, and FlashRAG's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from stages.adoption.files import log_rows
from stages.adoption.prompts import AGENT_TURN, without_prompt
from stages.common.records import check_encodable, check_new
from stages.conforming.chatml import REPLY
from stages.plumbing.errors import InputError

# A chat template's marks between what a user says and the agent's turn, if it has any.
_TEMPLATE = re.compile(rf"(?:(?:\s|<[^<>\s]*>)*?(?:{AGENT_TURN.pattern}))?(?:\s*\n)?")


@dataclass(frozen=True)
class ConversationLog:
    """One conversation of another program; `where` is its line, `question` may be missing."""

    where: str
    id: str
    question: str | None
    prompt: str
    response: str


def read_conversations(path: Path) -> list[ConversationLog]:
    """The logs in `path`. InputError names the first that has no prompt or response."""
    logs, seen = [], set()
    for where, row in log_rows(path):
        logs.append(_log(where, row))
        check_new(logs[-1].id, seen, where)
    return logs


def _log(where: str, row: dict) -> ConversationLog:
    output = row.get("output")
    told = {**row, **(output if isinstance(output, dict) else {})}
    prompt, response = told.get("prompt"), told.get("response")
    question = row.get("question")
    question = question if isinstance(question, str) and question.strip() else None
    if "response" not in told and isinstance(prompt, str):
        parts = split_conversation(prompt, question)
        if parts is None:
            raise InputError(
                f"{where}: the log has no text 'response', and 'prompt' neither ChatML's marks nor "
                "the question, after which it would begin"
            )
        prompt, response = parts
    for key, value in (("prompt", prompt), ("response", response)):
        if not isinstance(value, str):
            raise InputError(f"{where}: the log has no text '{key}'")
        check_encodable(value, key, where)
    name = where if row.get("id") is None else str(row["id"])
    return ConversationLog(where, name, question, prompt, without_prompt(response, prompt))


def split_conversation(text: str, question: str | None) -> tuple[str, str] | None:
    """Prompt and response of a conversation: parted by ChatML's mark after the question (examples
    before it may have replies too), else after the question, with the question mark that it may
    have got, the marks of a chat template and the line breaks that follow. None: by neither.
    """
    asked = (question or "").strip()
    place = max(text.find(asked), 0)
    mark = text.find(REPLY, place)
    if mark >= 0:
        return text[: mark + len(REPLY)], text[mark + len(REPLY) :]
    if not asked or asked not in text:
        return None
    after = text[place + len(asked) :]
    response = after if asked.endswith("?") else after.removeprefix("?")
    response = response[_TEMPLATE.match(response).end() :]
    return text[: len(text) - len(response)], response
