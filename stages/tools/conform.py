"""Would an agent read here, character by character, what it reads in another program's logs?

    python -m stages.tools.conform logs.jsonl --protocol conf/protocol/search_r1.yaml
    python -m stages.tools.conform logs.jsonl --write-protocol conf/protocol/mine.yaml

Logs are JSON Lines, or one JSON array, with `prompt` (all that the agent was given) and `response`
(all that followed, information included), as Search-R1's are told; or FlashRAG's own, which have
them in `output`, perhaps as one text in `prompt`: it is parted at ChatML's mark, else after its
question. Each is rendered again from its parts (see stages/conforming/transcripts.py). Printed: for
each log that differs its first differing character, then the counts. Exit code 1 if a response
differs.

Prompts are compared as what the user says in them, and differ wherever their wording is not the
protocol's: `--prompts` makes that count too, and system messages that are not all the same. They
are printed: a protocol has none, and the agent's chat template must give the logs'.
`--write-protocol` puts the logs' own wording into a new protocol file, which is otherwise as
`--protocol` says, and then checks the logs with it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.conforming.chatml import told_system
from stages.conforming.logs import ConversationLog, read_conversations
from stages.conforming.prompts import asked, prompt_difference, systems, write_protocol
from stages.conforming.shown import marks_of
from stages.conforming.transcripts import TextDifference, other_refusals, retell
from stages.params import load_params
from stages.plumbing import errors
from stages.plumbing.errors import InputError
from stages.rollout.protocol import AgentProtocol, read_protocol

CONTEXT = 30  # characters before and after a difference


def main(argv: list[str] | None = None) -> int:
    """Compare, and print what differs."""
    args = _arguments(argv)
    protocol = (
        read_protocol(args.protocol) if args.protocol else AgentProtocol(load_params().protocol)
    )
    marks_of(protocol)
    logs = read_conversations(args.logs)
    if args.write_protocol is not None:
        frame = protocol.block.name
        protocol = write_protocol(args.write_protocol, logs, protocol, args.logs)
        print(
            f"{args.write_protocol}: a protocol with the wording of these prompts and the frame of "
            f"{frame}"
            + ("" if args.protocol else ", which is params.yaml's: --protocol takes another")
        )
    same, prompts = check_responses(logs, protocol, args.logs), check_prompts(logs, protocol)
    alike = check_systems(logs) and prompts == len(logs)
    return int(same < len(logs) or (args.prompts and not alike))


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
    others = other_refusals(logs, protocol)
    told = [retell(log.response, protocol, others) for log in logs]
    for log, one in zip(logs, told, strict=True):
        if one.difference:
            print(f"{log.id}: response, {described(one.difference, log.response)}")
    blocks = sum(one.blocks for one in told)
    if not any(one.blocks or one.refusals for one in told):
        raise InputError(f"{path}: no log searches in the form of {protocol.block.name}")
    same = sum(one.difference is None for one in told)
    print(
        f"{same} of {len(logs)} logs are the same, "
        f"{sum(one.same_blocks for one in told)} of {blocks} information blocks "
        f"({sum(one.turns for one in told)} turns, "
        f"{sum(one.refusals for one in told)} of them refused) in {protocol.block.name}"
    )
    cut = [log.id for log, one in zip(logs, told, strict=True) if one.cut]
    if cut:
        print(
            "logs that end within what is shown, the same as far as it goes: "
            f"{len(cut)} (the first: {cut[0]})"
        )
    broken = [(log, one) for log, one in zip(logs, told, strict=True) if one.broken]
    if broken:
        log, first = broken[0]
        print(
            f"passages that end in a line break: {sum(one.broken for _, one in broken)}; where the "
            "corpus has none there, the logs are of another frame "
            f"(the first: {log.id}, character {first.first_broken})"
        )
    return same


def check_prompts(logs: list[ConversationLog], protocol: AgentProtocol) -> int:
    """Print how many prompts have the protocol's wording, and where the first other one parts."""
    known = [log for log in logs if log.question is not None]
    parted = [(log, found) for log in known if (found := prompt_difference(log, protocol))]
    same = len(known) - len(parted)
    print(f"{same} of {len(logs)} prompts have the wording of {protocol.block.name}")
    if len(known) < len(logs):
        unasked = len(logs) - len(known)
        print(f"logs without a 'question', whose prompts are not compared: {unasked}")
    for log, found in parted[:1]:
        print(f"{log.id}: prompt, {described(found, log.prompt)}")
    if changed := sum(asked(log) not in (None, log.question) for log in known):
        print(f"questions with blanks cut or a question mark added in their prompt: {changed}")
    return same


def check_systems(logs: list[ConversationLog]) -> bool:
    """Print the prompts' system message; returns whether all in ChatML's marks have the same."""
    found = systems(logs)
    for system, those in list(found.items())[:2]:
        first = f" (the first: {those[0].id})" if len(found) > 1 else ""
        print(f"{len(those)} of {len(logs)} prompts have {told_system(system)}{first}")
    if len(found) > 1:
        print(f"the prompts have {len(found)} different ones, and an agent can be given one")
    return len(found) <= 1


def described(difference: TextDifference, text: str) -> str:
    """One line that says where two texts part, whatever is in them."""
    place, before = difference.place, text[: difference.place][-CONTEXT:]
    expected, found = (part[:CONTEXT] for part in (difference.expected, difference.found))
    shown = [repr(part) if part else "the end" for part in (expected, found)]
    return f"character {place}: expected {shown[0]}, found {shown[1]}, after {before!r}"


if __name__ == "__main__":
    errors.run(main)
