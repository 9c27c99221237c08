"""Stage questions: training questions and test sets.

In: the corpus folder, `questions` of params.yaml. Out: OUTPUT/train.jsonl and one
OUTPUT/test/NAME.jsonl a test set (indomain, relations, singlehop for a synthetic world).

`questions.source` is `stages/world`, or a folder of that form in Search-R1's format, which
is checked and copied. The paper trains on HotpotQA and TriviaQA and tests on seven public sets.
"""

import argparse
from pathlib import Path

from stages import errors
from stages.params import WORLD, load_params
from stages.records import Question, read_questions, write_questions
from stages.world.questions import questions_for_tests, questions_for_training
from stages.world.world import World


def main(argv: list[str] | None = None) -> None:
    """Make or copy the question sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the corpus")
    parser.add_argument("--output", type=Path, required=True, help="folder of the question sets")
    arguments = parser.parse_args(argv)
    params = load_params()
    block = params.questions
    if block.source == WORLD:
        world = World.load(arguments.corpus / "world.json")
        training = questions_for_training(world, block.training, params.seed)
        tests = questions_for_tests(world, block.test, params.seed)
    else:
        training, tests = read_sets(Path(block.source))
    (arguments.output / "test").mkdir(parents=True, exist_ok=True)
    write_questions(arguments.output / "train.jsonl", training)
    for name, questions in tests.items():
        write_questions(arguments.output / "test" / f"{name}.jsonl", questions)


def read_sets(folder: Path) -> tuple[list[Question], dict[str, list[Question]]]:
    """The sets of a folder train.jsonl, test/NAME.jsonl. InputError where it lacks one."""
    tests = {path.stem: read_questions(path) for path in sorted(folder.glob("test/*.jsonl"))}
    if not tests:
        raise errors.InputError(f"{folder}: no test sets (expected test/NAME.jsonl)")
    return read_questions(folder / "train.jsonl"), tests


if __name__ == "__main__":
    errors.run(main)
