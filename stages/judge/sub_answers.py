"""Sub-answers: what the judge holds to be the answer of each query (Agentic-R, step B3).

The judge reads a whole trajectory and answers all its queries at once. "Not Sure", or a reply that
stays malformed, means that a query has no reference.
"""

from __future__ import annotations

from dataclasses import dataclass

from stages.common.queries import searched_turns
from stages.judge.asking import Ask, Judge
from stages.judge.prompts import MalformedReply, Prompt, one_line

FIELDS = ("trajectory", "queries")


@dataclass(frozen=True)
class SubAnswers:
    """Sub-answers of one trajectory by turn (None: not sure); why there are none, if so."""

    by_turn: dict[int, str | None]
    failure: str | None
    retries: int


def trajectory_text(trajectory: dict) -> str:
    """The question, then all turns with what was shown after them, as the agent's context reads."""
    turns = (turn["text"] + turn["information"] for turn in trajectory["turns"])
    return f"Question: {trajectory['question']}\n" + "".join(turns)


def render(prompt: Prompt, trajectory: dict) -> str:
    """The prompt that asks for the sub-answers of `trajectory`."""
    queries = [trajectory["turns"][turn]["query"] for turn in searched_turns(trajectory)]
    return prompt.render(trajectory=trajectory_text(trajectory), queries=prompt.numbered(queries))


def parse(prompt: Prompt, reply: str, count: int) -> list[str | None]:
    """The reply's `count` sub-answers; None where the judge is not sure. May be MalformedReply."""
    answers = [one_line(value) for value in prompt.parse(reply, count)]
    if not all(answers):
        raise MalformedReply("empty_sub_answer")
    not_sure = prompt.missing.casefold()
    return [None if a.rstrip(".").casefold() == not_sure else a for a in answers]


def none(trajectory: dict) -> SubAnswers:
    """No sub-answer for any query: the judge was not asked."""
    return SubAnswers(dict.fromkeys(searched_turns(trajectory)), None, 0)


def ask(judge: Judge, prompt: Prompt, trajectories: list[dict]) -> list[SubAnswers]:
    """The sub-answers of each trajectory; a trajectory without queries must not be given."""
    replies = judge.ask(prompt, [_ask(prompt, trajectory) for trajectory in trajectories])
    return [
        SubAnswers(
            dict(zip(turns, reply.value or [None] * len(turns), strict=True)),
            reply.failure,
            reply.retries,
        )
        for turns, reply in zip(map(searched_turns, trajectories), replies, strict=True)
    ]


def _ask(prompt: Prompt, trajectory: dict) -> Ask:
    count = len(searched_turns(trajectory))
    return Ask(
        f"sub-answers/{trajectory['id']}",
        render(prompt, trajectory),
        lambda reply: parse(prompt, reply, count),
    )
