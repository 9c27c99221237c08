"""Prompts of logs: whether they have a protocol's wording, and a protocol that has theirs."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

from stages.common.records import write_text
from stages.conforming.chatml import is_chat, system_text, told_system, user_text
from stages.conforming.logs import ConversationLog
from stages.conforming.transcripts import TextDifference, first_difference
from stages.plumbing.errors import InputError
from stages.rollout.protocol import AgentProtocol

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
    """Where the log's prompt parts from the protocol's for its question, as it stands there."""
    expected, said = protocol.prompt(asked(log) or log.question), user_text(log.prompt)
    if expected == said:
        return None
    longer = TextDifference(len(expected), "", said[len(expected) :])
    return first_difference(expected, said, 0) or longer


def systems(logs: list[ConversationLog]) -> Counter[str | None]:
    """How many prompts in ChatML's marks have which system message, in the order of the logs."""
    return Counter(system_text(log.prompt) for log in logs if is_chat(log.prompt))


def write_protocol(
    file: Path, logs: list[ConversationLog], protocol: AgentProtocol, path: Path
) -> AgentProtocol:
    """`protocol` with the wording of the logs' prompts, written to `file`, which must be new.

    A protocol has no system message, which is the chat template's: a comment keeps the logs'.
    InputError where a log lacks its question, or where wordings or system messages differ.
    """
    import yaml

    if file.exists():
        raise InputError(f"{file}: is there already: name a new file")
    first = logs[0]
    chat, system, wording = is_chat(first.prompt), system_text(first.prompt), _wording(first)
    for log in logs:
        if (is_chat(log.prompt), system_text(log.prompt)) != (chat, system):
            raise InputError(
                f"{log.where}: the prompt has another system message than that of the first log"
            )
        if _wording(log) != wording:
            raise InputError(
                f"{log.where}: the prompt has another wording than that of the first log"
            )
    block = replace(protocol.block, name=file.stem, prompt=wording, chat=chat)
    made = AgentProtocol(block, file)
    head = (
        f"# The protocol {protocol.block.name} with the prompt of {path.name} (tools/conform.py).\n"
    )
    if chat:
        told = told_system(system)
        head += f"# Its prompts have {told}: the agent's chat template must give the same.\n"
    text = yaml.safe_dump(asdict(block), sort_keys=False, allow_unicode=True, width=100)
    write_text(file, head + text)
    return made


def _wording(log: ConversationLog) -> str:
    """The log's prompt with PLACE in the place of its question."""
    question = asked(log)
    if question is None:
        raise InputError(f"{log.where}: 'question' is missing, or not in 'prompt' as it stands")
    before, _, after = user_text(log.prompt).rpartition(question)
    if PLACE in before or PLACE in after:
        raise InputError(
            f"{log.where}: the prompt itself holds {PLACE}, which a protocol would fill in"
        )
    return before + PLACE + after
