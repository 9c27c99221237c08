"""Sub-answers: what the judge holds to be the answer of each query (Agentic-R, step B3).

The judge reads a whole trajectory and answers all its queries at once. "Not Sure", or a reply that
stays malformed, means that a query has no reference. The paper's public code also tells the judge
the gold answers and wants sub-answers that agree with them; its text does not say so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stages.common.trajectories import Trajectory
from stages.judge.asking import Ask, Judge
from stages.judge.grammar import answer, is_not_sure
from stages.judge.prompts import Prompt, one_line
from stages.plumbing.errors import InputError

FIELDS = ("trajectory", "queries")


@dataclass(frozen=True)
class SubAnswers:
    """Sub-answers of one trajectory by turn (None: not sure); why there are none, if so, and then
    the reply as a row of the file of failed replies."""

    by_turn: dict[int, str | None]
    failure: str | None
    retries: int
    failed: list[dict] = field(default_factory=list)


def trajectory_text(trajectory: Trajectory) -> str:
    """The question, then all turns with what was shown after them, as the agent's context reads."""
    turns = (turn.text + turn.information for turn in trajectory.turns)
    return f"Question: {trajectory.question}\n" + "".join(turns)


def load(path: str | Path, gold: bool) -> Prompt:
    """The prompt file `path`. InputError if it cannot tell the gold answers and `gold` wants it."""
    prompt = Prompt.load(path, *FIELDS)
    if gold and not prompt.gold:
        raise InputError(
            f"{path}: 'gold' is missing, the words that tell the judge the gold answers: "
            "'relevance.gold_in_sub_answers' needs them"
        )
    return prompt


def render(prompt: Prompt, trajectory: Trajectory, gold: bool = False) -> str:
    """The prompt that asks for the sub-answers of `trajectory`; `gold`: tell the gold answers."""
    queries = prompt.numbered([request.query for _, request in trajectory.requests()])
    fields = {"trajectory": trajectory_text(trajectory), "queries": queries}
    if prompt.gold:
        answers = "; ".join(map(one_line, trajectory.golden_answers if gold else ()))
        fields["gold"] = prompt.gold.format(answers=answers) if gold else ""
    return prompt.render(**fields)


def parse(prompt: Prompt, reply: str, count: int) -> list[str | None]:
    """The reply's `count` sub-answers; None where the judge is not sure. May be MalformedReply."""
    answers = prompt.parse(reply, count, answer)
    return [None if is_not_sure(each, prompt.missing) else each for each in answers]


def none(trajectory: Trajectory) -> SubAnswers:
    """No sub-answer for any query: the judge was not asked."""
    return SubAnswers(dict.fromkeys(trajectory.searched), None, 0)


def ask(
    judge: Judge, prompt: Prompt, trajectories: list[Trajectory], gold: bool = False
) -> list[SubAnswers]:
    """The sub-answers of each trajectory; a trajectory without queries must not be given."""
    replies = judge.ask(prompt, [_ask(prompt, trajectory, gold) for trajectory in trajectories])
    return [
        SubAnswers(
            dict(zip(turns, reply.value or [None] * len(turns), strict=True)),
            reply.failure,
            reply.retries,
            [reply.failed] if reply.failure else [],
        )
        for turns, reply in zip((each.searched for each in trajectories), replies, strict=True)
    ]


def _ask(prompt: Prompt, trajectory: Trajectory, gold: bool) -> Ask:
    count = len(trajectory.searched)
    return Ask(
        f"sub-answers/{trajectory.id}",
        render(prompt, trajectory, gold),
        lambda reply: parse(prompt, reply, count),
    )
