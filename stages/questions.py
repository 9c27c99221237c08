"""Stage questions: training questions and test sets.

In: the corpus folder, `questions` of params.yaml. Out: OUTPUT/train.jsonl, one
OUTPUT/test/NAME.jsonl for each of `questions.sets`, and OUTPUT/development/NAME.jsonl, which
decisions look at and nobody trains on or reports.

`questions.source` is `stages/world`, a folder of that form in Search-R1's format, or the
description of public sets (conf/data/), which are checked and copied. The paper trains on HotpotQA
and TriviaQA and tests on seven public sets. A corpus or a training set that is too small for what
later stages ask of it is refused here, before the first hour is spent.
"""

import argparse
from pathlib import Path

from stages.common.records import write_questions, write_text
from stages.params import WORLD, Params, load_params
from stages.params.enough import check_passages, check_questions
from stages.plumbing.errors import run
from stages.sources.passages import passages_of
from stages.sources.questions import Sets, read_sets, with_supporting_ids
from stages.world.questions import (
    questions_for_development,
    questions_for_tests,
    questions_for_training,
)
from stages.world.world import SyntheticWorld

ABOUT = "Sets to decide by, one a file, as many as 'questions.development' asks for.\n"


def main(argv: list[str] | None = None) -> None:
    """Make or copy the question sets."""
    arguments = _arguments(argv)
    params = load_params()
    check_passages(params, _lines(arguments.corpus / "passages.jsonl"), "params.yaml")
    sets = _of_world(arguments.corpus, params)
    if sets is None:
        block = params.questions
        sets = read_sets(block, params.seed)
        corpus = passages_of(arguments.corpus / "passages.jsonl")
        sets = with_supporting_ids(sets, (passage for _, passage in corpus))
    check_questions(params, len(sets.train), "params.yaml")
    (arguments.output / "test").mkdir(parents=True, exist_ok=True)
    write_text(arguments.output / "development" / "about.txt", ABOUT)  # DVC keeps no empty folder
    write_questions(arguments.output / "train.jsonl", sets.train)
    for name, questions in sets.test.items():
        write_questions(arguments.output / "test" / f"{name}.jsonl", questions)
    for name, questions in sets.development.items():
        write_questions(arguments.output / "development" / f"{name}.jsonl", questions)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the corpus")
    parser.add_argument("--output", type=Path, required=True, help="folder of the question sets")
    return parser.parse_args(argv)


def _lines(path: Path) -> int:
    """The number of passages: one a line, as the stage corpus wrote them."""
    from stages.retrieval.corpus import line_starts

    return len(line_starts(path)) - 1


def _of_world(corpus: Path, params: Params) -> Sets | None:
    """Questions about the synthetic world, if that is the source."""
    block = params.questions
    if block.source != WORLD:
        return None
    world = SyntheticWorld.load(corpus / "world.json")
    return Sets(
        questions_for_training(
            world, block.training, params.seed, block.development > 0, block.hops
        ),
        questions_for_tests(world, block.test, params.seed, block.sets, block.hops),
        questions_for_development(world, block.development, params.seed, block.sets, block.hops),
    )


if __name__ == "__main__":
    run(main)
