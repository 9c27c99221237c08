"""Prompts of logs: whether they have a protocol's wording, and a protocol that has theirs."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path

from stages.adoption.prompts import BEGINNING
from stages.common.records import write_text
from stages.conforming.chatml import (
    END,
    START,
    in_chatml,
    is_chat,
    is_one_message,
    system_text,
    told_system,
    user_text,
)
from stages.conforming.logs import ConversationLog
from stages.conforming.transcripts import TextDifference, first_difference
from stages.params import escaped
from stages.plumbing.errors import InputError
from stages.rollout.protocol import AgentProtocol, read_protocol

PLACE = "{question}"  # of the question in a protocol's prompt


def asked(log: ConversationLog) -> str | None:
    """The question as it stands in the log's prompt, for public data scripts cut its blanks and add
    a question mark. None if it is not there.
    """
    said, question = user_text(log.prompt), log.question or ""
    form = next((form for form in (question, question.strip()) if form and form in said), None)
    if form is None or form.endswith("?"):
        return form
    return form + "?" if said.rpartition(form)[2].startswith("?") else form


def prompt_difference(log: ConversationLog, protocol: AgentProtocol) -> TextDifference | None:
    """Where the log's prompt parts from the protocol's for its question, as it stands there; in
    ChatML's marks if the log has them, with the log's own system message.
    """
    expected = protocol.prompt(asked(log) or log.question)
    chat = is_chat(log.prompt) or (protocol.block.chat and log.prompt.startswith(START))
    if chat and START not in protocol.block.prompt:
        expected = in_chatml(expected, system_text(log.prompt))
    if (begun := BEGINNING.match(log.prompt)) and not expected.startswith(begun[0]):
        expected = begun[0] + expected
    if expected == log.prompt:
        return None
    longer = TextDifference(len(expected), "", log.prompt[len(expected) :])
    return first_difference(expected, log.prompt, 0) or longer


def systems(logs: list[ConversationLog]) -> dict[str | None, list[ConversationLog]]:
    """The logs in ChatML's marks by their system message, the most frequent one first."""
    found: dict[str | None, list[ConversationLog]] = {}
    for log in logs:
        if is_chat(log.prompt):
            found.setdefault(system_text(log.prompt), []).append(log)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def write_protocol(
    file: Path, logs: list[ConversationLog], protocol: AgentProtocol, path: Path
) -> AgentProtocol:
    """`protocol` with the wording of the logs' prompts, written to `file`, which must be new.

    A protocol has no system message, which is the chat template's: a comment keeps the logs'.
    InputError where a log lacks its question, where wordings or system messages differ, or where
    prompts hold their question more than once and no log of another one says which is its place.
    """
    import yaml

    if file.exists():
        raise InputError(f"{file}: is there already: name a new file")
    first = logs[0]
    chat, system = is_one_message(first.prompt), system_text(first.prompt)
    wordings = _wordings(*_told(first))
    for log in logs:
        if system_text(log.prompt) != system:
            raise InputError(
                f"{log.where}: the prompt has another system message than that of the first log"
            )
        text, question = _told(log)
        left = [wording for wording in wordings if wording.replace(PLACE, question) == text]
        if not left or is_one_message(log.prompt) != chat:
            raise InputError(
                f"{log.where}: the prompt has another wording than that of the first log"
                f"{_parted(wordings[0], _wordings(text, question)[0])}"
            )
        wordings = left
    if len(wordings) > 1 or all(_bare(log) in wordings[0] for log in logs):
        raise InputError(
            f"{first.where}: 'prompt' holds the question more than once: a log of another question "
            "must say which of them is its place"
        )
    block = replace(protocol.block, name=file.stem, prompt=wordings[0], chat=chat)
    head = (
        f"# The protocol {protocol.block.name} with the prompt of {path.name} (tools/conform.py).\n"
    )
    if chat:
        told = told_system(system)
        head += f"# Its prompts have {told}: the agent's chat template must give the same.\n"
    written = escaped(asdict(block))
    text = yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=100)
    write_text(file, head + text)
    return read_protocol(file)


def _parted(wording: str, other: str) -> str:
    """From which character on two wordings differ, and what stands there, if they do."""
    difference = first_difference(wording + END, other + END, 0)
    if difference is None:
        return ""
    expected, found = difference.expected[:30], difference.found[:30]
    return f", from character {difference.place} of the message on: {found!r}, not {expected!r}"


def _told(log: ConversationLog) -> tuple[str, str]:
    """What a user says in the log, or all of a prompt that is more than one message of a user, less
    the token that begins every text; and the question as it stands there.
    """
    question = asked(log)
    if question is None:
        raise InputError(f"{log.where}: 'question' is missing, or not in 'prompt' as it stands")
    text = user_text(log.prompt) if is_one_message(log.prompt) else log.prompt
    begun = BEGINNING.match(text)
    text = text[begun.end() if begun else 0 :]
    if PLACE in text:
        raise InputError(
            f"{log.where}: the prompt itself holds {PLACE}, which a protocol would fill in"
        )
    return text, question


def _wordings(text: str, question: str) -> list[str]:
    """`text` with PLACE where its question stands last, there before, or wherever it stands."""
    found = [(match.start(), match.end()) for match in re.finditer(re.escape(question), text)]
    each = [text[:begin] + PLACE + text[end:] for begin, end in reversed(found)]
    return list(dict.fromkeys([*each, text.replace(question, PLACE)]))


def _bare(log: ConversationLog) -> str:
    return (log.question or "").strip().removesuffix("?")
