"""Read the predictions of the evaluation, and the passages that the report shows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path

from stages.common.records import Passage, iter_jsonl, passage_of, read_questions
from stages.common.trajectories import Trajectory
from stages.common.trajectories import read_predictions as read_file
from stages.metrics import run
from stages.metrics.run import QuestionKey
from stages.reporting.results import Results

Predictions = dict[str, list[Trajectory]]  # pair name -> trajectories of all question sets


def read_all_predictions(
    folder: Path,
    results: Results,
    questions: Collection[QuestionKey] | None = None,
    metrics: Path = Path("metrics"),
    again: Callable[[str, list[Trajectory]], dict] | None = None,
) -> Predictions:
    """The trajectories of every pair.

    InputError names the first file that is missing, or whose figures (all that `again` makes of an
    agent's question set, else the means) are not the pair's in `metrics`, or whose questions are
    not `questions`.
    """
    found = {}
    for pair in results.pairs:
        path = folder / f"{pair.name}.jsonl"
        found[pair.name] = rows = read_file(path)
        figures = partial(again, pair.agent) if again else None
        if reason := run.prediction_reason(pair.sets, rows, path, questions, figures):
            raise run.foreign(metrics / "evaluate" / f"{pair.name}.json", reason)
    return found


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
    """What the question sets in `folder` say of each question, by (set, id)."""
    return {
        (file.stem, question.id): question.metadata
        for file in sorted(folder.glob("*.jsonl"))
        for question in read_questions(file)
    }


def unordered_sets(metadata: Mapping[QuestionKey, dict]) -> list[str]:
    """The sets that name supporting passages by title (stages/sources/questions.py), as HotpotQA
    does: in no order, so that nobody knows which query should have found which."""
    return sorted({name for (name, _), known in metadata.items() if "supporting_titles" in known})
