"""Take over trajectories that another program wrote, so that they can be labelled here.

    python -m stages.tools.adopt logs.jsonl --agent models/agent/1 --output data/trajectories/1.jsonl

A line of the input: `id`, `question`, `golden_answers` and `response`, all that followed the prompt
as one text: what the agent wrote and, between the protocol's marks of information, what it was
shown. The agent's folder says how it talks (its protocol.yaml, else `protocol` in params.yaml).
What was asked and answered is read from the agent's own words alone, as in our rollouts. A response
without a search has nothing to label: it is left out and counted. So is information that follows no
words of the agent, as before its first turn.
"""

from __future__ import annotations

import argparse
import re
import sys
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.records import Passage, Question, check_new, iter_jsonl, question_of, write_jsonl
from stages.params import load_params
from stages.plumbing.errors import InputError, run

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from stages.rollout.loop import Rollout
    from stages.rollout.protocol import Protocol

NO_SEARCH = "no_search"


def main(argv: list[str] | None = None) -> None:
    """Write the trajectories and say how many there are."""
    args = _arguments(argv)
    params = load_params()

    from stages.engines.tokenizer import load_tokenizer
    from stages.rollout.loop import record
    from stages.rollout.protocol import load_protocol

    protocol, tokenizer = load_protocol(args.agent, params.protocol), load_tokenizer(args.agent)
    shown = shown_pattern(protocol, tokenizer)
    rows, seen, no_search, unasked = [], set(), 0, 0
    for where, row in iter_jsonl(args.responses, ("id", "question", "golden_answers", "response")):
        if not isinstance(row["response"], str):
            raise InputError(f"{where}: 'response' must be a text")
        question = question_of(row, where)
        check_new(question.id, seen, where)
        rollout, blocks = read_response(question, row["response"], shown, protocol, tokenizer)
        unasked += blocks
        if rollout.queries:
            rows.append(record(rollout))
        else:
            no_search += 1
    if not rows:
        raise InputError(f"{args.responses}: no response searches in the form of this protocol")
    write_jsonl(args.output, rows)
    left_out = f", left out for {NO_SEARCH}: {no_search}" if no_search else ""
    if unasked:
        left_out += f", information left out that follows no words of the agent: {unasked} times"
    print(f"{len(rows)} trajectories{left_out}", file=sys.stderr)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("responses", type=Path, help="JSON Lines of another program")
    parser.add_argument("--agent", type=Path, required=True, help="folder of the model")
    parser.add_argument("--output", type=Path, required=True, help="trajectories, JSON Lines")
    return parser.parse_args(argv)


def shown_pattern(protocol: Protocol, tokenizer: PreTrainedTokenizerBase) -> re.Pattern:
    """Finds what was shown after a search: the frame that the protocol puts around passages."""
    empty = protocol.information([], tokenizer)
    filled = protocol.information([Passage("0", "title", "text")], tokenizer)
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(empty, filled, strict=False))
    opening = "".join(sign for sign, _ in alike)
    closing = empty[len(opening) :]
    if not opening.strip() or not closing.strip():
        raise InputError("the protocol's 'information' puts no mark before or after passages")
    return re.compile(
        rf"\s*{re.escape(opening.strip())}.*?{re.escape(closing.strip())}\s*", re.DOTALL
    )


def read_response(
    question: Question,
    response: str,
    shown: re.Pattern,
    protocol: Protocol,
    tokenizer: PreTrainedTokenizerBase,
) -> tuple[Rollout, int]:
    """The rollout that a response tells, turn by turn; `stop` is "answer" or "invalid". And how
    many blocks of information are left out, since they follow no words of the agent.
    """
    from stages.rollout.loop import start

    rollout, place, unasked = start(question, protocol, tokenizer), 0, 0
    pieces = [(found.start(), found.end()) for found in shown.finditer(response)]
    for begin, end in [*pieces, (len(response), len(response))]:
        text, information = response[place:begin], response[begin:end]
        place = end
        if rollout.stop is not None:
            break
        if text.strip():
            _take(rollout, text, information, protocol, tokenizer)
        else:
            unasked += bool(information)
    rollout.stop = rollout.stop or "invalid"
    return rollout, unasked


def _take(rollout: Rollout, text: str, information: str, protocol: Protocol, tokenizer) -> None:
    action = protocol.parse(text)
    searched = action.kind == "search" and bool(information)
    ids = tokenizer.encode(text, add_special_tokens=False)
    rollout.turns.append(
        {
            "text": text,
            "token_ids": ids,
            "thought": action.thought,
            "query": action.value if searched else None,
            "passages": [],
            "information": information,
        }
    )
    rollout.add(ids, written=True)
    rollout.add(protocol.encode(information, tokenizer), written=False)
    if action.kind == "answer":
        rollout.answer, rollout.stop = action.value, "answer"


if __name__ == "__main__":
    run(main)
