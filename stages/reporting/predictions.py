"""The trajectories of the evaluation, and the passages that some of them show."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from stages.common.records import Passage, iter_jsonl, passage_of, read_questions
from stages.common.trajectories import Trajectory
from stages.common.trajectories import read_predictions as read_file
from stages.reporting.results import Results

Key = tuple[str, str]  # question set, id
Predictions = dict[str, list[Trajectory]]  # pair name -> trajectories of all question sets


def read_predictions(folder: Path, results: Results) -> Predictions:
    """The trajectories of every pair. InputError names the first file that is missing."""
    return {p.name: read_file(folder / f"{p.name}.jsonl") for p in results.pairs}


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


def read_metadata(folder: Path) -> dict[Key, dict]:
    """What the question sets in `folder` say of each question, by (set, id)."""
    return {
        (file.stem, question.id): question.metadata
        for file in sorted(folder.glob("*.jsonl"))
        for question in read_questions(file)
    }


def unordered_sets(metadata: Mapping[Key, dict]) -> list[str]:
    """The sets that name supporting passages by title (stages/sources/questions.py), as HotpotQA
    does: in no order, so that nobody knows which query should have found which."""
    return sorted({name for (name, _), known in metadata.items() if "supporting_titles" in known})
