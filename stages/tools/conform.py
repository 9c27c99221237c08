"""Would an agent read here, character by character, what it reads in another program's logs?

    python -m stages.tools.conform logs.jsonl --protocol conf/protocol/search_r1.yaml
    python -m stages.tools.conform logs.jsonl --write-protocol conf/protocol/mine.yaml

Logs are JSON Lines, or one JSON array, with `prompt` (all that the agent was given) and `response`
(all that followed, information included), as Search-R1's are told; or FlashRAG's own, which have
them in `output`, perhaps as one text in `prompt`. Each is rendered again from its parts (see
stages/rollout/transcripts.py). Printed: for each log that differs its first differing character,
then the counts. Exit code 1 if a response differs.

Prompts are compared as what the user says in them, and differ wherever their wording is not the
protocol's: `--prompts` makes that count too. `--write-protocol` puts the logs' own wording into a
new protocol file, which is otherwise as `--protocol` says, and then checks the logs with it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from stages.common.records import check_encodable, check_new, iter_jsonl, read_json, write_text
from stages.params import load_params
from stages.plumbing import errors
from stages.plumbing.errors import InputError
from stages.rollout.protocol import AgentProtocol, read_protocol
from stages.rollout.transcripts import (
    USER,
    TextDifference,
    first_difference,
    marks_of,
    retell,
    split_conversation,
    user_text,
)

CONTEXT = 30  # characters before and after a difference


@dataclass(frozen=True)
class ConversationLog:
    """One conversation of another program; `where` is its line, `question` may be missing."""

    where: str
    id: str
    question: str | None
    prompt: str
    response: str


def main(argv: list[str] | None = None) -> int:
    """Compare, and print what differs."""
    args = _arguments(argv)
    protocol = (
        read_protocol(args.protocol) if args.protocol else AgentProtocol(load_params().protocol)
    )
    marks_of(protocol)
    logs = read_conversations(args.logs)
    if args.write_protocol is not None:
        protocol = write_protocol(args.write_protocol, logs, protocol, args.logs)
        print(f"{args.write_protocol}: a protocol with the wording of these prompts")
    same, prompts = check_responses(logs, protocol, args.logs), check_prompts(logs, protocol)
    return int(same < len(logs) or (args.prompts and prompts < len(logs)))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logs", type=Path, help="logs of another program")
    parser.add_argument(
        "--protocol", type=Path, help="a file as in conf/protocol/; default: params.yaml's"
    )
    parser.add_argument("--prompts", action="store_true", help="a prompt that differs counts too")
    parser.add_argument(
        "--write-protocol", type=Path, metavar="FILE", help="write one with the logs' prompt"
    )
    return parser.parse_args(argv)


def check_responses(logs: list[ConversationLog], protocol: AgentProtocol, path: Path) -> int:
    """Print the differences and counts of responses; returns how many are the same."""
    told = [retell(log.response, protocol) for log in logs]
    for log, one in zip(logs, told, strict=True):
        if one.difference:
            print(f"{log.id}: response, {described(one.difference, log.response)}")
    blocks = sum(one.blocks for one in told)
    if not blocks:
        raise InputError(f"{path}: no log searches in the form of {protocol.block.name}")
    same = sum(one.difference is None for one in told)
    print(
        f"{same} of {len(logs)} logs are the same, "
        f"{sum(one.same_blocks for one in told)} of {blocks} information blocks "
        f"({sum(one.turns for one in told)} turns, "
        f"{sum(one.refusals for one in told)} of them refused) in {protocol.block.name}"
    )
    return same


def check_prompts(logs: list[ConversationLog], protocol: AgentProtocol) -> int:
    """Print how many prompts have the protocol's wording, and where the first other one parts."""
    asked = [log for log in logs if log.question is not None]
    parted = [(log, found) for log in asked if (found := _prompt_difference(log, protocol))]
    same = len(asked) - len(parted)
    print(f"{same} of {len(logs)} prompts have the wording of {protocol.block.name}")
    for log, found in parted[:1]:
        print(f"{log.id}: prompt, {described(found, user_text(log.prompt))}")
    return same


def _prompt_difference(log: ConversationLog, protocol: AgentProtocol) -> TextDifference | None:
    expected, said = protocol.prompt(log.question), user_text(log.prompt)
    if expected == said:
        return None
    longer = TextDifference(len(expected), "", said[len(expected) :])
    return first_difference(expected, said, 0) or longer


def described(difference: TextDifference, text: str) -> str:
    """One line that says where two texts part, whatever is in them."""
    place, before = difference.place, text[: difference.place][-CONTEXT:]
    expected, found = (part[:CONTEXT] for part in (difference.expected, difference.found))
    shown = [repr(part) if part else "the end" for part in (expected, found)]
    return f"character {place}: expected {shown[0]}, found {shown[1]}, after {before!r}"


def read_conversations(path: Path) -> list[ConversationLog]:
    """The logs in `path`. InputError names the first that has no prompt or response."""
    logs, seen = [], set()
    for where, row in _rows(path):
        logs.append(_log(where, row))
        check_new(logs[-1].id, seen, where)
    if not logs:
        raise InputError(f"{path}: holds no log")
    return logs


def _rows(path: Path) -> Iterator[tuple[str, dict]]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            array = file.read(1) == "["
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not array:
        yield from iter_jsonl(path, ())
        return
    for number, row in enumerate(read_json(path), 1):
        where = f"{path}: log {number}"
        if not isinstance(row, dict):
            raise InputError(f"{where}: expected an object, found {type(row).__name__}")
        yield where, row


def _log(where: str, row: dict) -> ConversationLog:
    output = row.get("output")
    told = {**row, **(output if isinstance(output, dict) else {})}
    prompt, response = told.get("prompt"), told.get("response")
    if response is None and isinstance(prompt, str) and (parts := split_conversation(prompt)):
        prompt, response = parts
    for key, value in (("prompt", prompt), ("response", response)):
        if not isinstance(value, str):
            raise InputError(f"{where}: the log has no text '{key}'")
        check_encodable(value, key, where)
    question = row.get("question")
    question = question if isinstance(question, str) and question else None
    return ConversationLog(where, str(row.get("id", where)), question, prompt, response)


def write_protocol(
    file: Path, logs: list[ConversationLog], protocol: AgentProtocol, path: Path
) -> AgentProtocol:
    """`protocol` with the wording of the logs' prompts, written to `file`, which must be new.

    InputError where a log lacks its question, or where their wordings differ.
    """
    import yaml

    if file.exists():
        raise InputError(f"{file}: is there already: name a new file")
    wordings: Counter[str] = Counter()
    for log in logs:
        wording = _wording(log)
        if wordings and wording not in wordings:
            raise InputError(
                f"{log.where}: the prompt has another wording than that of the first log"
            )
        wordings[wording] += 1
    chat = USER in logs[0].prompt
    block = replace(protocol.block, name=file.stem, prompt=next(iter(wordings)), chat=chat)
    made = AgentProtocol(block, file)
    head = (
        f"# The protocol {protocol.block.name} with the prompt of {path.name} (tools/conform.py).\n"
    )
    text = yaml.safe_dump(asdict(block), sort_keys=False, allow_unicode=True, width=100)
    write_text(file, head + text)
    return made


def _wording(log: ConversationLog) -> str:
    """The log's prompt with {question} in the place of its question."""
    said, question = user_text(log.prompt), log.question
    if question is None or question not in said:
        raise InputError(f"{log.where}: 'question' is missing, or not in 'prompt' as it stands")
    before, _, after = said.rpartition(question)
    if not question.endswith("?"):  # Search-R1's data script adds one
        after = after.removeprefix("?")
    return before + "{question}" + after


if __name__ == "__main__":
    errors.run(main)
