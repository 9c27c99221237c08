"""Make question sets for `questions.source` out of one file of questions.

`python -m stages.tools.split QUESTIONS OUTPUT --training 60 --name hotpotqa` draws training
questions and puts the others into OUTPUT/test/NAME.jsonl.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.common.records import Question, write_questions
from stages.common.seeds import seed_of
from stages.params.names import PLAIN
from stages.plumbing import errors
from stages.sources.questions import draw, questions_of, test_files


def split(
    questions: list[Question], training: int, seed: int
) -> tuple[list[Question], list[Question]]:
    """A seeded draw of `training` questions, and the rest; both in file order."""
    if len(questions) < 2:
        raise errors.InputError("there is only one question: two sets need two or more")
    if not 0 < training < len(questions):
        raise errors.InputError(
            f"--training must be between 1 and {len(questions) - 1}, found {training}"
        )
    chosen = draw(questions, training, seed_of(seed, "split"))
    ids = {question.id for question in chosen}
    return chosen, [question for question in questions if question.id not in ids]


def _check_others(output: Path, name: str, train: list[Question]) -> None:
    """InputError if another test set of the folder asks what is drawn for training, as that of a
    former split may."""
    drawn = {_asked(question) for question in train}
    for other, path in test_files(output).items():
        if other != name and any(_asked(question) in drawn for question in questions_of(path)):
            raise errors.InputError(
                f"{path}: has questions that are drawn for training, as the test set of a former "
                "split may: remove it, or write into another folder"
            )


def _asked(question: Question) -> tuple[str, tuple[str, ...]]:
    return question.question, tuple(question.golden_answers)


def main(argv: list[str] | None = None) -> None:
    """Write OUTPUT/train.jsonl and OUTPUT/test/NAME.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", type=Path, help="JSON Lines of questions")
    parser.add_argument("output", type=Path, help="folder to write")
    parser.add_argument("--training", type=int, required=True, help="number of training questions")
    parser.add_argument("--name", default="test", help="name of the test set")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)

    if not PLAIN.fullmatch(arguments.name):
        raise errors.InputError(f"--name: of letters, digits, '_-' only, found {arguments.name!r}")
    train, test = split(questions_of(arguments.questions), arguments.training, arguments.seed)
    _check_others(arguments.output, arguments.name, train)
    write_questions(arguments.output / "train.jsonl", train)
    write_questions(arguments.output / "test" / f"{arguments.name}.jsonl", test)
    print(f"{len(train)} training questions, {len(test)} in test/{arguments.name}.jsonl")


if __name__ == "__main__":
    errors.run(main)
