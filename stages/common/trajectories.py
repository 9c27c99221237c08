"""Trajectories, as every stage reads and writes them: a question, its turns, its answer.

The stage `trajectories` writes them, and `evaluate` as predictions: with their question set and,
for each query, the whole ranking that recall needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stages.common.fields import Fields
from stages.common.records import check_new, iter_jsonl
from stages.common.search import SearchRequest


@dataclass(frozen=True)
class Shown:
    """A passage that a query found; `score` None where it was put in for the retriever's (GAC)."""

    id: str
    score: float | None

    def row(self) -> dict:
        """As a file has it."""
        return {"id": self.id, "score": self.score}


@dataclass(frozen=True)
class Visit:
    """A call of the visit tool: the id that it names; `refused` if no search had listed it."""

    id: str
    refused: bool = False

    def row(self) -> dict:
        """As a file has it."""
        return {"id": self.id, "refused": self.refused}


@dataclass
class Turn:
    """What the model wrote in one turn and what it was shown after it.

    `query` is None unless it was searched; `information` is the text that was shown, `passages`
    those in it, `cut` whether they had to be cut. `ranked`, in predictions alone: ids of all
    passages that the query found, best first. `visit`: what the turn opened, or was refused, which
    `information` then is; `passages` are a query's alone, listed where the agent can visit.
    """

    text: str
    token_ids: list[int]
    thought: str
    query: str | None
    passages: list[Shown] = field(default_factory=list)
    information: str = ""
    cut: bool = False
    ranked: list[str] | None = None
    visit: Visit | None = None

    @property
    def opened(self) -> str | None:
        """The id of the passage that the turn opened."""
        return None if self.visit is None or self.visit.refused else self.visit.id

    def row(self) -> dict:
        """As a file has it."""
        row = vars(self) | {"passages": [passage.row() for passage in self.passages]}
        if not self.cut:
            del row["cut"]
        if self.ranked is None:
            del row["ranked"]
        if self.visit is None:
            del row["visit"]
        else:
            row["visit"] = self.visit.row()
        return row


@dataclass
class Trajectory:
    """How an agent answered one question; `stop` says why it ended.

    `searches`: queries that were searched. Of predictions alone: `set`, `hops` and
    `supporting_ids`, a list of passage ids a hop.
    """

    id: str
    question: str
    golden_answers: list[str]
    turns: list[Turn]
    answer: str | None
    em: int
    f1: float
    searches: int
    stop: str
    set: str | None = None
    hops: int | None = None
    supporting_ids: list[list[str]] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """(question set, id) of a prediction: what is the same under every pair."""
        return self.set or "", self.id

    @property
    def searched(self) -> list[int]:
        """The turns of the trajectory's intermediate queries, those that are labelled.

        A query beyond the search limit was never searched, so no candidate could stand in for it.
        Of the last query of a rollout that stopped with "turns" nothing can follow.
        """
        answerable = self.turns[:-1] if self.stop == "turns" else self.turns
        return [number for number, turn in enumerate(answerable) if turn.query is not None]

    @property
    def queries(self) -> list[str]:
        """The queries that were searched, in order."""
        return [turn.query for turn in self.turns if turn.query is not None]

    def requests(self) -> Iterator[tuple[int, SearchRequest]]:
        """(turn, what the retriever is asked there) of each intermediate query."""
        history: tuple[str, ...] = ()
        for number in self.searched:
            turn = self.turns[number]
            yield number, SearchRequest(self.question, history, turn.query, turn.thought)
            history += (turn.query,)

    def row(self) -> dict:
        """As a file has it."""
        row = vars(self) | {"turns": [turn.row() for turn in self.turns]}
        about = {key: row.pop(key) for key in ("set", "hops", "supporting_ids")}
        if self.set is None:
            return row
        return {"set": about.pop("set"), **row, **about}


def read_trajectories(path: str | Path) -> list[Trajectory]:
    """A trajectory file. InputError names the line and the key of what is not one."""
    return list(iter_trajectories(path))


def read_predictions(path: str | Path) -> list[Trajectory]:
    """A file of predictions, whole: trajectories that name their question set."""
    return list(iter_predictions(path))


def iter_predictions(path: str | Path) -> Iterator[Trajectory]:
    """A file of predictions, one at a time."""
    return iter_trajectories(path, predictions=True)


def iter_trajectories(path: str | Path, *, predictions: bool = False) -> Iterator[Trajectory]:
    """A trajectory file, one at a time; `predictions`: each must name its question set.

    InputError for a malformed line, and for an id that occurs twice (in one question set).
    """
    seen: set[str] = set()
    for where, row in iter_jsonl(path, ("id",)):
        trajectory = trajectory_of(row, where)
        if predictions:
            Fields(row, where).text("set")
        check_new("/".join(filter(None, trajectory.key)), seen, where)
        yield trajectory


def trajectory_of(row: dict, where: str) -> Trajectory:
    """The trajectory in one row; `where` opens the message of an InputError."""
    read = Fields(row, where)
    return Trajectory(
        id=str(read.identifier("id")),
        question=read.text("question"),
        golden_answers=read.texts("golden_answers"),
        turns=[_turn(turn) for turn in read.objects("turns")],
        answer=read.text("answer", none=True),
        em=read.integer("em", least=0, most=1),
        f1=read.number("f1", least=0.0, most=1.0),
        searches=read.integer("searches", least=0),
        stop=read.text("stop"),
        set=read.text("set", none=True, absent=True),
        hops=read.integer("hops", least=0, none=True, absent=True),
        supporting_ids=read.lists_of_texts("supporting_ids", absent=True),
    )


def _turn(read: Fields) -> Turn:
    return Turn(
        text=read.text("text"),
        token_ids=read.integers("token_ids"),
        thought=read.text("thought"),
        query=read.text("query", none=True),
        passages=[shown_of(passage) for passage in read.objects("passages")],
        information=read.text("information"),
        cut=read.truth("cut", absent=True) or False,
        ranked=read.texts("ranked", absent=True),
        visit=_visit(read),
    )


def _visit(read: Fields) -> Visit | None:
    if "visit" not in read.row:
        return None
    visit = read.object("visit")
    return Visit(str(visit.identifier("id")), visit.truth("refused"))


def shown_of(read: Fields) -> Shown:
    """A passage with its score."""
    return Shown(str(read.identifier("id")), read.number("score", none=True))
