"""Question sets from a folder or a description, in Search-R1's and FlashRAG's format."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from stages import params
from stages.common.records import Passage, Question, read_questions
from stages.common.seeds import seed_of
from stages.plumbing.errors import InputError
from stages.sources.description import is_description, local_path, question_files

BULKY = ("context", "supporting_facts", "question_decomposition", "evidences")


@dataclass(frozen=True)
class Sets:
    """Training questions, and test sets by name."""

    train: list[Question]
    test: dict[str, list[Question]]


def read_sets(block: params.Questions, seed: int) -> Sets:
    """The question sets of `block.source`, a folder train.jsonl, test/NAME.jsonl or a description.

    Of more than `block.training` (or `block.test`, a set) questions that many are drawn by the
    seed; file order is kept. None: all. InputError where a file is missing, a line is no question
    or one of `block.sets` is not there.
    """
    source = block.source
    sets = _described(source) if is_description(source) else _of_folder(Path(source))
    for name in block.sets or ():
        if name not in sets.test:
            raise InputError(f"{source}: 'questions.sets': no set '{name}', {', '.join(sets.test)}")
    for name in params.POOLED:
        if name in (block.sets or sets.test):
            raise InputError(f"{source}: a test set cannot be called '{name}': tables call all so")
    return Sets(
        draw(sets.train, block.training, seed_of(seed, "questions", "train")),
        {
            name: draw(sets.test[name], block.test, seed_of(seed, "questions", name))
            for name in block.sets or sets.test
        },
    )


def draw(questions: list[Question], count: int | None, seed: int) -> list[Question]:
    """At most `count` of `questions`, in their order."""
    if count is None or count >= len(questions):
        return questions
    places = sorted(random.Random(seed).sample(range(len(questions)), count))
    return [questions[place] for place in places]


def _of_folder(folder: Path) -> Sets:
    tests = {path.stem: read_questions(path) for path in sorted(folder.glob("test/*.jsonl"))}
    if not tests:
        raise InputError(f"{folder}: no test sets (expected test/NAME.jsonl)")
    return Sets(read_questions(folder / "train.jsonl"), tests)


def _described(source: str) -> Sets:
    blocks = question_files(source)
    read = {
        block: {
            name: [_named(name, question) for question in read_questions(local_path(entry))]
            for name, entry in blocks[block].items()
        }
        for block in blocks
    }
    train = [question for questions in read["train"].values() for question in questions]
    return Sets(train, read["test"])


def _named(name: str, question: Question) -> Question:
    """The question under `name/id`, so that ids of several sets differ, with the metadata that is
    used here: its supporting titles stay, the passages that came with it go.
    """
    metadata = {key: value for key, value in question.metadata.items() if key not in BULKY}
    facts = question.metadata.get("supporting_facts")
    if isinstance(facts, dict) and isinstance(facts.get("title"), list):
        titles = (title for title in facts["title"] if isinstance(title, str))
        metadata["supporting_titles"] = list(dict.fromkeys(titles))
    return replace(question, id=f"{name}/{question.id}", metadata=metadata)


def with_supporting_ids(sets: Sets, passages: Iterable[Passage]) -> Sets:
    """The questions with `metadata.supporting_ids`: for each of their `supporting_titles` that the
    corpus has, the ids of the passages that bear it. One pass over the corpus.
    """
    everything = [*sets.train, *(q for questions in sets.test.values() for q in questions)]
    wanted = {title for q in everything for title in q.metadata.get("supporting_titles", ())}
    ids: dict[str, list[str]] = defaultdict(list)
    if wanted:
        for passage in passages:
            if passage.title in wanted:
                ids[passage.title].append(passage.id)

    def supported(question: Question) -> Question:
        titles = question.metadata.get("supporting_titles")
        if titles is None or "supporting_ids" in question.metadata:
            return question
        found = [ids[title] for title in titles if title in ids]
        return replace(question, metadata={**question.metadata, "supporting_ids": found})

    return Sets(
        [supported(question) for question in sets.train],
        {name: [supported(q) for q in questions] for name, questions in sets.test.items()},
    )
