"""Take over trajectories that another program wrote, so that they can be labelled here.

    python -m stages.tools.adopt logs.jsonl --agent models/agent/1 \\
        --output data/trajectories/1.jsonl

The input holds Search-R1's responses, FlashRAG's intermediate data, messages of a chat API, or
verl's dump of rollouts (stages/adoption/forms.py). The agent's folder says how it talks (its
protocol.yaml, else `protocol` in params.yaml). What was asked and answered is read from the agent's
own words alone, as in our rollouts: what the environment says after an invalid action is cut
first, be it this protocol's message, one given as a file, or one found in the logs. A response
without a search has nothing to label: it is left out. What is left out or odd is counted by reason;
`--strict` refuses it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from stages import params as parameters
from stages.common.records import Question, check_new, write_jsonl
from stages.params import load_params
from stages.plumbing.errors import InputError, run

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from stages.adoption.reader import Piece
    from stages.rollout.loop import RolloutState, Stop
    from stages.rollout.protocol import AgentProtocol

NO_SEARCH = "no_search"
BLANK = "empty gold answers left out"


def main(argv: list[str] | None = None) -> None:
    """Write the trajectories and say how many there are."""
    args = _arguments(argv)
    params = load_params()

    from stages.adoption.forms import read_logs
    from stages.adoption.frame import frame_of
    from stages.adoption.messages import Conversation, names_tool
    from stages.adoption.prompts import PromptReader
    from stages.adoption.reader import REFUSED, Reader, saying
    from stages.adoption.refusals import found_refusals
    from stages.engines.tokenizer import load_tokenizer
    from stages.rollout.loop import record
    from stages.rollout.protocol import FILE, AgentProtocol

    file = args.agent / FILE
    block = parameters.read_block(file, parameters.Protocol) if file.exists() else params.protocol
    protocol = AgentProtocol(block, file if file.exists() else None)
    if block.visit_tool is not None:
        raise InputError(
            f"the protocol {block.name} has a 'visit_tool', whose calls are not adopted: "
            "trajectories of such agents are made by the stage trajectories"
        )
    tokenizer = load_tokenizer(args.agent)
    tokenizer.model_max_length = sys.maxsize  # nothing runs here: a long text is no error
    frame = frame_of(protocol, block, tokenizer)
    logs = list(read_logs(args.logs, PromptReader(protocol, block, frame, tokenizer)))
    given = {path: _text(path) for path in args.refusal}
    known = [*given.values()]
    known += [block.invalid_message or "", protocol.refusal(tokenizer) or ""]
    texts = [(log.question.id, log.text) for log in logs if log.text is not None]
    for path, message in given.items():
        if texts and not any(saying([message]).search(text) for _, text in texts):
            print(f"{path}: no response says this word for word", file=sys.stderr)
    found = found_refusals(texts, Reader(protocol, frame, known))
    for message in found:
        print(f"taken for the environment's, as the logs show: {message!r}", file=sys.stderr)
    reader = Reader(protocol, frame, [*known, *found])
    conversation = Conversation(reader, frame, block, args.tool, tokenizer)

    rows, seen, left_out, odd = [], set(), Counter(), Counter()
    for log in logs:
        check_new(log.question.id, seen, log.where)
        odd[BLANK] += log.blank
        if log.missing:
            left_out[log.missing] += 1
            continue
        if log.messages is not None:
            pieces = conversation.pieces(log.messages, odd, log.question.question)
        else:
            pieces = reader.pieces(log.text, odd)
        rollout = told_rollout(log.question, pieces, protocol, tokenizer)
        if rollout.queries:
            rows.append(record(rollout).row())
        else:
            left_out[NO_SEARCH] += 1
        if args.strict and (reasons := [*(+left_out), *(key for key in +odd if key != REFUSED)]):
            raise InputError(f"{log.where}: refused by --strict: {', '.join(reasons)}")
    told = [f"left out for {reason}: {count}" for reason, count in (+left_out).items()]
    told += [f"{reason}: {count} times" for reason, count in (+odd).items()]
    if not rows:
        why = f" ({', '.join(told)})" if told else ""
        todo = "; --tool gives the name of the search" if any(map(names_tool, odd)) else ""
        raise InputError(
            f"{args.logs}: no response searches in the form of this protocol{why}{todo}"
        )
    if args.strict and found:
        raise InputError(
            f"{args.logs}: refused by --strict: give what the environment says after an invalid "
            f"action as a file, with --refusal; the logs show {found[0]!r}"
        )
    write_jsonl(args.output, rows)
    if unanswered := sum(row["answer"] is None for row in rows):
        told.insert(0, f"{unanswered} of them without an answer in the form of this protocol")
    print(", ".join([f"{len(rows)} trajectories", *told]), file=sys.stderr)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logs", type=Path, help="JSON Lines, or a JSON array, of another program")
    parser.add_argument("--agent", type=Path, required=True, help="folder of the model")
    parser.add_argument("--output", type=Path, required=True, help="trajectories, JSON Lines")
    parser.add_argument(
        "--refusal",
        type=Path,
        action="append",
        default=[],
        help="text file: what the environment says after an invalid action; may be repeated",
    )
    parser.add_argument("--tool", default="search", help="the search's name in calls of tools")
    parser.add_argument("--strict", action="store_true", help="refuse what would be left out")
    return parser.parse_args(argv)


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not valid UTF-8") from None
    if not text.strip():
        raise InputError(f"{path}: holds no text")
    return text


def told_rollout(
    question: Question,
    pieces: list[Piece],
    protocol: AgentProtocol,
    tokenizer: PreTrainedTokenizerBase,
) -> RolloutState:
    """The rollout that the pieces of a log tell, turn by turn."""
    from stages.common.trajectories import Turn
    from stages.rollout.loop import start

    rollout = start(question, protocol, tokenizer)
    for piece in pieces:
        ids = tokenizer.encode(piece.text, add_special_tokens=False)
        turn = Turn(piece.text, ids, piece.action.thought, piece.query)
        turn.information = piece.information
        rollout.turns.append(turn)
        rollout.add(ids, written=True)
        rollout.add(protocol.encode(piece.information, tokenizer), written=False)
    rollout.stop = _stop(pieces)
    if rollout.stop == "answer":
        rollout.answer = pieces[-1].action.value
    return rollout


def _stop(pieces: list[Piece]) -> Stop:
    """How the log ends: with an answer, with a search or its information, or with neither."""
    last = pieces[-1] if pieces else None
    if last is None or last.action.kind == "invalid":
        return "invalid"
    if last.action.kind == "answer":
        return "answer"
    return "length" if last.found else "searches"


if __name__ == "__main__":
    run(main)
