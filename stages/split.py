"""Make question sets for `questions.source` out of one file of questions.

`python -m stages.split QUESTIONS PASSAGES OUTPUT --training 60 --name hotpotqa` draws training
questions and puts the others into OUTPUT/test/NAME.jsonl. Where `metadata.supporting_titles` names
the passages that support a question (HotpotQA), their ids are looked up in the corpus, so that
recall can be measured; titles that it lacks are counted.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from stages import errors
from stages.records import Question, read_passages, read_questions, write_questions
from stages.seeds import seed_of


def with_supporting_ids(
    questions: list[Question], ids_by_title: dict[str, list[str]]
) -> list[Question]:
    """Questions with metadata `supporting_ids`: for each supporting title the ids that bear it."""
    return [
        replace(
            question,
            metadata={
                **question.metadata,
                "supporting_ids": [
                    ids_by_title[title]
                    for title in question.metadata.get("supporting_titles", [])
                    if title in ids_by_title
                ],
            },
        )
        for question in questions
    ]


def split(
    questions: list[Question], training: int, seed: int
) -> tuple[list[Question], list[Question]]:
    """A seeded draw of `training` questions, and the rest; both in file order."""
    if not 0 < training < len(questions):
        raise errors.InputError(
            f"--training must be between 1 and {len(questions) - 1}, found {training}"
        )
    drawn = set(random.Random(seed_of(seed, "split")).sample(range(len(questions)), training))
    chosen = [question for i, question in enumerate(questions) if i in drawn]
    return chosen, [question for i, question in enumerate(questions) if i not in drawn]


def main(argv: list[str] | None = None) -> None:
    """Write OUTPUT/train.jsonl and OUTPUT/test/NAME.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", type=Path, help="JSON Lines of questions")
    parser.add_argument("passages", type=Path, help="JSON Lines of passages, the corpus")
    parser.add_argument("output", type=Path, help="folder to write")
    parser.add_argument("--training", type=int, required=True, help="number of training questions")
    parser.add_argument("--name", default="test", help="name of the test set")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)

    ids_by_title = defaultdict(list)
    for passage in read_passages(arguments.passages):
        ids_by_title[passage.title].append(passage.id)
    questions = with_supporting_ids(read_questions(arguments.questions), ids_by_title)
    train, test = split(questions, arguments.training, arguments.seed)
    write_questions(arguments.output / "train.jsonl", train)
    write_questions(arguments.output / "test" / f"{arguments.name}.jsonl", test)
    titles = sum(len(q.metadata.get("supporting_titles", [])) for q in questions)
    found = sum(len(q.metadata["supporting_ids"]) for q in questions)
    print(f"{len(train)} training questions, {len(test)} in test/{arguments.name}.jsonl")
    print(f"supporting passages: {found} of {titles} titles are in the corpus")


if __name__ == "__main__":
    errors.run(main)
