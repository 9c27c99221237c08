"""The trajectories of the evaluation, and the passages that some of them show."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from stages.common.records import Passage, iter_jsonl, passage_of, read_jsonl, read_questions
from stages.reporting.results import Results

KEYS = ("id", "set", "question", "golden_answers", "turns", "answer", "em", "searches", "stop")

Key = tuple[str, str]  # question set, id
Predictions = dict[str, list[dict]]  # pair name -> trajectories of all question sets


def read_predictions(folder: Path, results: Results) -> Predictions:
    """The trajectories of every pair. InputError names the first file that is missing."""
    return {p.name: read_jsonl(folder / f"{p.name}.jsonl", KEYS) for p in results.pairs}


def shown_passages(path: Path, rows: Iterable[dict]) -> dict[str, Passage]:
    """The passages that the trajectories `rows` show, by id."""
    return passages_by_id(path, shown_ids(rows))


def shown_ids(rows: Iterable[dict]) -> set[str]:
    """Ids of the passages that the trajectories `rows` show."""
    return {hit["id"] for row in rows for turn in row["turns"] for hit in turn["passages"]}


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
