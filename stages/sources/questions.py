"""Question sets from a folder or a description, in Search-R1's and FlashRAG's format."""

from __future__ import annotations

import random
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from stages import params
from stages.common.records import (
    QUESTION,
    Passage,
    Question,
    all_questions,
    iter_jsonl,
    other_form,
    question_of,
)
from stages.common.seeds import seed_of
from stages.plumbing.errors import InputError
from stages.sources.description import is_description, local_path, question_files
from stages.sources.support import SUPPORT, read_support, with_support

BULKY = ("context", "evidences", *SUPPORT)


@dataclass(frozen=True)
class Sets:
    """Training questions, and test sets and development sets by name."""

    train: list[Question]
    test: dict[str, list[Question]]
    development: dict[str, list[Question]] = field(default_factory=dict)


def read_sets(block: params.Questions, seed: int) -> Sets:
    """The question sets of `block.source`, a folder train.jsonl, test/NAME.jsonl and, if it has
    such, development/NAME.jsonl, or a description.

    Of more than `block.training` (or `block.test`, `block.development`, a set) questions that many
    are drawn by the seed; file order is kept. None: all. Of a description `block.development`
    training questions are held out as the development set `held_out`, none that is a test question
    too. InputError where a file is missing, a line is no question, one of `block.sets` is not
    there, or a folder's development question is a training or test question too.
    """
    source = block.source
    sets = _described(source) if is_description(source) else _of_folder(Path(source))
    for name in block.sets or ():
        if name not in sets.test:
            raise InputError(f"{source}: 'questions.sets': no set '{name}', {', '.join(sets.test)}")
    for name in params.POOLED:
        if name in (block.sets or sets.test):
            raise InputError(f"{source}: a test set cannot be called '{name}': tables call all so")
    if sets.development:
        _check_development(sets, block)
    count = block.development if is_description(source) else 0
    train, held_out = _held_out(sets, count, source, seed)
    return Sets(
        draw(train, block.training, seed_of(seed, "questions", "train")),
        {
            name: draw(sets.test[name], block.test, seed_of(seed, "questions", name))
            for name in block.sets or sets.test
        },
        {
            name: draw(asked, block.development, seed_of(seed, "questions", "development", name))
            for name, asked in ({"held_out": held_out} if held_out else sets.development).items()
        },
    )


def _held_out(
    sets: Sets, count: int, source: str, seed: int
) -> tuple[list[Question], list[Question]]:
    """(training questions, `count` others), which differ in words or gold answers from each other,
    the others also from every test question. InputError where there are too few."""
    if not count:
        return sets.train, []
    tested = {_identity(question) for questions in sets.test.values() for question in questions}
    free = {_identity(question): question for question in sets.train}
    free = [question for identity, question in free.items() if identity not in tested]
    if count >= len(free):
        raise InputError(
            f"{source}: 'questions.development' ({count}) takes all of the {len(free)} training "
            "questions that are not test questions too: ask for fewer"
        )
    chosen = draw(free, count, seed_of(seed, "questions", "development"))
    kept_out = {_identity(question) for question in chosen}
    return [q for q in sets.train if _identity(q) not in kept_out], chosen


def _check_development(sets: Sets, block: params.Questions) -> None:
    """InputError where a folder's development sets would not be asked, or where a question of
    theirs, by which decisions are made, is one to train on or to report too."""
    if not block.development:
        raise InputError(
            f"{block.source}: has development sets, and 'questions.development' is 0: set it to "
            "how many questions of each are asked, or take them out of the folder"
        )
    known = {_identity(question): "train" for question in sets.train}
    known |= {_identity(q): f"test/{name}" for name, asked in sets.test.items() for q in asked}
    for name, questions in sets.development.items():
        for question in questions:
            if other := known.get(_identity(question)):
                raise InputError(
                    f"{block.source}: '{question.id}' of development/{name} is a question of "
                    f"{other} too: decisions need questions of their own"
                )


def _identity(question: Question) -> tuple[str, tuple[str, ...]]:
    """The question's words, with a question mark (`asking`) or without, and its gold answers."""
    return question.question.strip().rstrip("?").casefold(), tuple(sorted(question.golden_answers))


def draw(questions: list[Question], count: int | None, seed: int) -> list[Question]:
    """At most `count` of `questions`, in their order."""
    if count is None or count >= len(questions):
        return questions
    positions = sorted(random.Random(seed).sample(range(len(questions)), count))
    return [questions[position] for position in positions]


def _of_folder(folder: Path) -> Sets:
    if folder.is_file():
        other = other_form(folder)
        raise InputError(
            f"{folder}: is a file, not a folder of question sets: "
            + (other or f"`python -m stages.tools.split {folder} FOLDER --training N` makes one")
        )
    tests = {name: _read(path) for name, path in test_files(folder).items()}
    if not tests:
        others = sorted(path.name for path in folder.glob("test/*") if other_form(path))
        found = f", found {others[0]}: {other_form(folder / 'test' / others[0])}" if others else ""
        raise InputError(f"{folder}: no test sets (expected test/NAME.jsonl{found})")
    development = {name: _read(path) for name, path in development_files(folder).items()}
    return Sets(_read(training_file(folder)), tests, development)


def training_file(folder: Path) -> Path:
    """The training questions in a folder of question sets: train.jsonl, or gzipped."""
    plain, zipped = folder / "train.jsonl", folder / "train.jsonl.gz"
    if plain.exists() and zipped.exists():
        raise InputError(f"{zipped}: there is {plain.name} too; keep one of them")
    return zipped if zipped.exists() else plain


def test_files(folder: Path) -> dict[str, Path]:
    """The test sets in a folder by name: test/NAME.jsonl, or gzipped."""
    return _named_files(folder / "test")


def development_files(folder: Path) -> dict[str, Path]:
    """The development sets in a folder by name: development/NAME.jsonl, or gzipped."""
    return _named_files(folder / "development")


def _named_files(folder: Path) -> dict[str, Path]:
    """Files of questions by name, in the order of their names."""
    files: dict[str, Path] = {}
    for path in sorted([*folder.glob("*.jsonl"), *folder.glob("*.jsonl.gz")]):
        name = path.name.removesuffix(".gz").removesuffix(".jsonl")
        if name in files:
            raise InputError(f"{path}: there is {files[name].name} too; keep one of them")
        files[name] = path
    return dict(sorted(files.items()))


def _described(source: str) -> Sets:
    blocks = question_files(source)
    read = {
        block: {
            name: [replace(q, id=f"{name}/{q.id}") for q in _read(local_path(entry))]
            for name, entry in blocks[block].items()
        }
        for block in blocks
    }
    train = [
        asking(question) if blocks["train"][name].question_mark else question
        for name, questions in read["train"].items()
        for question in questions
    ]
    return Sets(train, read["test"])


def asking(question: Question) -> Question:
    """The question with a question mark at its end."""
    text = question.question.strip()
    return replace(question, question=text if text.endswith("?") else f"{text}?")


def _read(path: Path) -> list[Question]:
    """The questions of a file, with the metadata that is used here: the titles of what supports
    them stay, the passages that came with them go.
    """
    questions, unread = [], 0
    for question in questions_of(path):
        used = {key: v for key, v in question.metadata.items() if key not in BULKY}
        support = read_support(question.metadata)
        unread += support.unread
        if support.titles is not None:
            used["supporting_titles"] = support.titles
        questions.append(replace(question, metadata=used))
    if unread:
        print(
            f"{path}: supporting facts, steps or paragraphs left out that name no title: {unread}",
            file=sys.stderr,
        )
    return questions


def questions_of(path: Path) -> list[Question]:
    """The questions of a file from outside, in its order. What supports them is metadata, also
    where it stands beside it; gold answers that show nothing are left out, and their number said.
    """
    rows = iter_jsonl(path, QUESTION, outside=True)
    return all_questions(
        path, ((where, *asked_question(with_support(row), where)) for where, row in rows)
    )


def asked_question(row: dict, where: str) -> tuple[Question, int]:
    """The question of a row, and how many gold answers were left out that show nothing: blanks and
    signs without a form, such as a zero-width space.
    """
    gold = row["golden_answers"]
    if not isinstance(gold, list):
        return question_of(row, where), 0  # which refuses it
    shown = [answer for answer in gold if not isinstance(answer, str) or _shows(answer)]
    return question_of(row | {"golden_answers": shown}, where), len(gold) - len(shown)


def _shows(answer: str) -> bool:
    return any(not (sign.isspace() or unicodedata.category(sign) == "Cf") for sign in answer)


def with_supporting_ids(sets: Sets, passages: Iterable[Passage]) -> Sets:
    """The questions with `metadata.supporting_ids`: for each of their `supporting_titles` that the
    corpus has, the ids of the passages that bear it. One pass over the corpus.
    """
    asked = [*sets.test.values(), *sets.development.values()]
    everything = [*sets.train, *(q for questions in asked for q in questions)]
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
        *(
            {name: [supported(q) for q in questions] for name, questions in some.items()}
            for some in (sets.test, sets.development)
        ),
    )
