"""Evaluate a language model on held-out demonstrations, by what it generates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.teaching.demonstrations import Segment

if TYPE_CHECKING:
    from stages.engines.generator import Generator

RELEVANT = 60
# (reply, number of items) -> one value an item; a ValueError where the reply is malformed
Parse = Callable[[str, int], list[str]]


@dataclass
class ExaminedReply:
    """What a model was asked, what it wrote, and what it should have written."""

    asked: str
    wrote: str
    right: str
    after_search: bool


def replies(
    generator: Generator, told: Sequence[list[Segment]], stop: Sequence[str], length: int
) -> list[ExaminedReply]:
    """The model's text for every segment of its own, everything before it as demonstrated."""
    tokenizer = generator.tokenizer
    prompts, rows = [], []
    for segments in told:
        ids: list[int] = []
        for number, segment in enumerate(segments):
            if segment.own:
                prompts.append(list(ids))
                asked = "".join(earlier.text for earlier in segments[:number])
                rows.append(ExaminedReply(asked, "", segment.text, number > 1))
            ids += tokenizer.encode(segment.text, add_special_tokens=False)
    written = generator.generate(prompts, stop=stop, max_new_tokens=length)
    for row, ids in zip(rows, written, strict=True):
        row.wrote = tokenizer.decode(ids)
    return rows


def agent_metrics(
    given: Sequence[ExaminedReply], invalid: Callable[[str], bool]
) -> dict[str, float]:
    """Shares of whole actions written right, and of invalid ones."""
    later = [reply for reply in given if reply.after_search]
    return {
        "actions": len(given),
        "right": _share(reply.wrote == reply.right for reply in given),
        "right_after_search": _share(reply.wrote == reply.right for reply in later),
        "invalid": _share(invalid(reply.wrote) for reply in given),
    }


def relevance_metrics(given: Sequence[ExaminedReply], parse: Parse) -> dict[str, float]:
    """Shares of grades that are exact, and on the right side of 60; of malformed replies."""
    pairs, malformed = _values(given, parse)
    grades = [(int(wrote), int(right)) for wrote, right in pairs]
    return {
        "replies": len(given),
        "malformed": malformed / len(given),
        "grades": len(grades),
        "exact": _share(wrote == right for wrote, right in grades),
        "same_side_of_60": _share(
            (wrote >= RELEVANT) == (right >= RELEVANT) for wrote, right in grades
        ),
    }


def sub_answer_metrics(given: Sequence[ExaminedReply], parse: Parse) -> dict[str, float]:
    """Share of sub-answers that are exact, and of malformed replies."""
    pairs, malformed = _values(given, parse)
    return {
        "replies": len(given),
        "malformed": malformed / len(given),
        "answers": len(pairs),
        "exact": _share(wrote == right for wrote, right in pairs),
    }


def _values(given: Sequence[ExaminedReply], parse: Parse) -> tuple[list[tuple[str, str]], int]:
    """(written, right) for each item of the well-formed replies; the number of the others."""
    pairs, malformed = [], 0
    for reply in given:
        right = parse(reply.right, len(reply.right.splitlines()))
        try:
            pairs += zip(parse(reply.wrote, len(right)), right, strict=True)
        except ValueError:
            malformed += 1
    return pairs, malformed


def _share(truths) -> float:
    truths = list(truths)
    return sum(truths) / len(truths) if truths else 0.0
