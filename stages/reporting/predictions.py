"""Read the predictions of the evaluation, and the passages that the report shows."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from stages.common.records import (
    Passage,
    iter_jsonl,
    line_spans,
    passage_of,
    read_questions,
    row_at,
)
from stages.common.seeds import seed_of
from stages.common.trajectories import Trajectory, iter_predictions, trajectory_of
from stages.evaluation.summary import SetMetrics
from stages.metrics import run
from stages.metrics.run import QuestionKey
from stages.reporting.results import Results

SHOWN = 3  # the most that k of the breakdown's recall@k is
BY = {"hops": "Hops", "namesakes": "People of the same name"}  # keys of a question's metadata
TITLES = "supporting_titles"  # another: it names gold passages without an order


@dataclass(frozen=True, slots=True)
class HopQuery:
    """A query of a hop with gold passages: its text, their ids, whether the first SHOWN of its
    ranking hold one, and how deep the ranking is."""

    text: str
    gold: tuple[str, ...]
    hit: bool
    depth: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the report counts of one prediction; `span` is that of its line in the file,
    `supporting_ids` those of the first hop alone."""

    set: str
    id: str
    question: str
    em: int
    searches: int
    queries: int  # that were searched
    hops: int | None
    asked: tuple[HopQuery, ...]
    span: tuple[int, int] = (0, 0)
    golden_answers: tuple[str, ...] = ()
    supporting_ids: tuple[tuple[str, ...], ...] = ()

    @property
    def key(self) -> QuestionKey:
        """(question set, id): what is the same under every pair."""
        return self.set, self.id


@dataclass
class Predictions:
    """Of each pair, by name, the outcomes of all question sets; whole trajectories stay on disk."""

    rows: dict[str, list[Outcome]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)

    def __getitem__(self, name: str) -> list[Outcome]:
        return self.rows[name]

    def trajectory(self, name: str, row: Outcome) -> Trajectory:
        """The whole prediction of a pair that an outcome tells of."""
        path = self.files[name]
        return trajectory_of(row_at(path, row.span), str(path))

    def sample(self, name: str, count: int) -> list[Trajectory]:
        """`count` trajectories of a pair by a hash of set and id: the same questions in every
        pair; none of a pair that has no predictions."""
        rows = self.rows.get(name, [])
        chosen = heapq.nsmallest(count, rows, key=lambda row: seed_of(0, "trace", row.set, row.id))
        return [self.trajectory(name, row) for row in chosen]


def outcome(row: Trajectory, span: tuple[int, int] = (0, 0)) -> Outcome:
    """What the report counts of a prediction; texts that pairs share are kept once."""
    known = sys.intern
    return Outcome(
        known(row.set or ""),
        known(row.id),
        known(row.question),
        row.em,
        row.searches,
        len(row.queries),
        row.hops,
        tuple(_asked(row)),
        span,
        tuple(map(known, row.golden_answers)),
        tuple(tuple(map(known, hop)) for hop in (row.supporting_ids or [])[:1]),
    )


def _asked(row: Trajectory) -> Iterator[HopQuery]:
    """Of every hop that has gold passages and for which a query was asked."""
    asked = [turn for turn in row.turns if turn.ranked is not None]
    for turn, gold in zip(asked, row.supporting_ids or [], strict=False):
        if gold:
            text = sys.intern(" ".join(turn.query.casefold().split()))
            hit = not set(gold).isdisjoint(turn.ranked[:SHOWN])
            yield HopQuery(text, tuple(map(sys.intern, gold)), hit, len(turn.ranked))


def read_all_predictions(
    folder: Path,
    results: Results,
    questions: Collection[QuestionKey] | None = None,
    metrics: Path = Path("metrics"),
    again: Callable[[str], SetMetrics] | None = None,
) -> Predictions:
    """The outcomes of every pair.

    InputError names the first file that is missing, or whose figures (all that `again` begins for
    an agent's question set, else the means) are not the pair's in `metrics`, or whose questions are
    not `questions`.
    """
    found = Predictions()
    for pair in results.pairs:
        found.files[pair.name] = path = folder / f"{pair.name}.jsonl"
        found.rows[pair.name] = kept = []
        rows = _noted(path, kept)
        counted = partial(again, pair.agent) if again else None
        reason = run.prediction_reason(
            pair.sets, rows, path, questions, counted, part=pair.of_oracle
        )
        if reason:
            raise run.foreign(metrics / "evaluate" / f"{pair.name}.json", reason)
    return found


def _noted(path: Path, kept: list[Outcome]) -> Iterator[Trajectory]:
    """The predictions of a file, whose outcomes are put into `kept` as they are read."""
    for row, span in zip(iter_predictions(path), line_spans(path), strict=True):
        kept.append(outcome(row, span))
        yield row


def shown_passages(path: Path, rows: Iterable[Trajectory]) -> dict[str, Passage]:
    """The passages that the trajectories `rows` show, by id."""
    return passages_by_id(path, shown_ids(rows))


def shown_ids(rows: Iterable[Trajectory]) -> set[str]:
    """Ids of the passages that the trajectories `rows` show."""
    return {shown.id for row in rows for turn in row.turns for shown in turn.passages}


def passages_by_id(path: Path, wanted: Collection[str]) -> dict[str, Passage]:
    """The passages `wanted`, by id: one pass over the corpus."""
    return {
        str(row["id"]): passage_of(row, where)
        for where, row in iter_jsonl(path, ("id", "contents"))
        if str(row["id"]) in wanted
    }


def read_metadata(folder: Path) -> dict[QuestionKey, dict]:
    """What the question sets in `folder` say of each question, by (set, id): of their metadata what
    the report counts by."""
    return {
        (sys.intern(file.stem), sys.intern(question.id)): _metadata(question.metadata)
        for file in sorted(folder.glob("*.jsonl"))
        for question in read_questions(file)
    }


def _metadata(known: dict) -> dict:
    told = {by: known[by] for by in BY if type(known.get(by)) is int}
    return told | ({TITLES: True} if TITLES in known else {})


def unordered_sets(metadata: Mapping[QuestionKey, dict]) -> list[str]:
    """The sets that name supporting passages by title (stages/sources/questions.py), as HotpotQA
    does: in no order, so that nobody knows which query should have found which."""
    return sorted({name for (name, _), known in metadata.items() if TITLES in known})
