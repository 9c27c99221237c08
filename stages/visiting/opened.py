"""Visits of agents that have a visit tool: what they opened of what a search had listed.

LRAT (arXiv 2604.04949) and ITER (2608.27912) label by such calls. A visit of a query is a passage
that it listed and that the agent opened before its next search, for the first time in its
trajectory. Other calls are no label, and are counted: what was opened before, and what only an
earlier search had listed, which the agent went back to. The latter is named, since it is not what
the agent never opened.

Both ask a language model whether what the agent thought next calls the passage irrelevant. Here it
is the judge, in the words of `visits.prompt`, of one passage at a time. It rejects a visit by
saying that the thought does not use the passage. A visit without a thought after it, and one of
which the judge's reply stays unreadable, is not rejected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from stages.common.candidates import Query, queries_of
from stages.common.records import Passage
from stages.common.trajectories import Trajectory
from stages.judge.asking import Judge
from stages.judge.prompts import Prompt
from stages.visiting.judged import JudgedVisit, ask_visits
from stages.visiting.told import ShownQuery

NONE_OPENED = "none_opened"
ALL_REJECTED = "all_rejected"


@dataclass(frozen=True)
class OpenedPassage:
    """A passage that the agent opened; `thought` is that of its next turn, empty without one."""

    id: str
    thought: str


@dataclass(frozen=True)
class OpenedQuery:
    """A query, what it listed, and its visits, in the order of the calls.

    `again`: how many calls after it opened what had been opened before; `elsewhere`: what others
    opened for the first time, which it had not listed.
    """

    query: Query
    em: int
    shown: list[str]
    opened: list[OpenedPassage]
    again: int = 0
    elsewhere: list[str] = field(default_factory=list)


def opened_queries(trajectory: Trajectory) -> Iterator[OpenedQuery]:
    """The intermediate queries of a trajectory, in order, with their visits."""
    seen: set[str] = set()
    for query in queries_of(trajectory):
        after = trajectory.turns[query.turn + 1 :]
        shown = [passage.id for passage in trajectory.turns[query.turn].passages]
        opened, again, elsewhere = [], 0, []
        for turn, following in zip(after, [*after[1:], None], strict=True):
            if turn.query is not None:
                break
            if turn.opened is None:
                continue
            if turn.opened in seen:
                again += 1
            elif turn.opened not in shown:
                elsewhere.append(turn.opened)
            else:
                thought = following.thought if following else ""
                opened.append(OpenedPassage(turn.opened, thought))
            seen.add(turn.opened)
        yield OpenedQuery(query, trajectory.em, shown, opened, again, elsewhere)


def reasoning_after(opened: Sequence[OpenedPassage], visits: Sequence[str]) -> int:
    """Words of the thought after the last of `visits`, with which the agent goes on; 0 without."""
    thoughts = [each.thought for each in opened if each.id in visits]
    return len(thoughts[-1].split()) if thoughts else 0


def ask_rejected(
    judge: Judge, prompt: Prompt, asked: Sequence[tuple[OpenedQuery, list[Passage]]]
) -> list[dict[str, JudgedVisit]]:
    """What the judge said of each query's visits that a thought follows, by the passage's id.

    Beside a query stand the passages that it opened, in order.
    """
    single = [
        (each.id, _alone(query, number, each), [passages[number]])
        for query, passages in asked
        for number, each in enumerate(query.opened)
        if each.thought.strip()
    ]
    replies = ask_visits(judge, prompt, [(query, passages) for _, query, passages in single])
    found: dict[str, dict[str, JudgedVisit]] = {query.query.id: {} for query, _ in asked}
    for (passage, query, _), reply in zip(single, replies, strict=True):
        found[query.id.rpartition("/")[0]][passage] = reply
    return [found[query.query.id] for query, _ in asked]


def rejects(said: JudgedVisit) -> bool:
    """Whether the judge's word is that the thought does not use the passage."""
    return said.passage is None and said.failed is None


def _alone(query: OpenedQuery, number: int, opened: OpenedPassage) -> ShownQuery:
    """One visit as the judge is asked of it; its name tells it from the query's other visits."""
    own = replace(query.query, id=f"{query.query.id}/{number}")
    return ShownQuery(own, query.em, [opened.id], opened.thought)
