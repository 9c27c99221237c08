"""What a turn tells of the passages that it was shown: the thought of the turn after it.

LRAT (arXiv 2604.04949) and ITER (2608.27912) label by the pages that an agent opened. Our agents
open none: they are shown whole passages, and what they used stands in what they think next. Two
readers of that thought: `restated`, exact, for the agent of the made-up world, which was taught to
restate the passage that it goes on with; and a judge (judged.py). An agent that writes no thought
after its results tells nothing, which is counted and never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stages.common.candidates import Query, queries_of
from stages.common.records import Passage
from stages.common.trajectories import Trajectory
from stages.scripted.facts import read_fact

NO_TURN = "no_turn_after"
NO_THOUGHT = "no_thought_after"
NOTHING_SHOWN = "nothing_shown"
NONE_USED = "none_used"  # a thought that says so, or says nothing of any passage


@dataclass(frozen=True)
class ShownQuery:
    """A query, what it showed, and the thought after it (None: `silent` says why)."""

    query: Query
    em: int
    shown: list[str]
    thought: str | None
    silent: str | None = None

    @property
    def id(self) -> str:
        """The query's."""
        return self.query.id

    @property
    def reasoning(self) -> int:
        """Words of the thought; 0 without one.

        LRAT counts tokens. Its weights depend on the ratio to the median alone, so that words,
        which need no tokenizer, do as well in languages that write them apart.
        """
        return len((self.thought or "").split())


def shown_queries(trajectory: Trajectory) -> Iterator[ShownQuery]:
    """The intermediate queries of a trajectory, in order."""
    for query in queries_of(trajectory):
        shown = [passage.id for passage in trajectory.turns[query.turn].passages]
        after = trajectory.turns[query.turn + 1 : query.turn + 2]
        silent = None
        if not shown:
            silent = NOTHING_SHOWN
        elif not after:
            silent = NO_TURN
        elif not after[0].thought.strip():
            silent = NO_THOUGHT
        thought = None if silent else after[0].thought
        yield ShownQuery(query, trajectory.em, shown, thought, silent)


def restated(thought: str, passages: Sequence[Passage]) -> list[str]:
    """Ids of the passages that tell the fact which a thought of the made-up world restates.

    >>> fact = Passage("7", "Soman", "The artist Soman lives in Kaliton.")
    >>> restated("artist Soman lives in Kaliton", [fact])
    ['7']
    >>> restated("artist Soman lives in unknown", [fact])
    []
    """
    fact = read_fact(thought)
    if fact is None:
        return []
    return [passage.id for passage in passages if read_fact(passage.text) == fact]
