"""Stage corpus: the passages that are searched.

In: `corpus` of params.yaml. Out: OUTPUT/passages.jsonl, and for a synthetic world
OUTPUT/world.json, its facts, which the stage questions asks about.

`corpus.source` is `stages/world`, a JSON Lines file of passages in Search-R1's form, or the
description of public ones (conf/data/), which are checked and copied as a stream. The paper's
corpus is Wikipedia 2018, 21 million passages of 100 words.
"""

import argparse
from pathlib import Path

from stages.common.records import write_passages
from stages.params import WORLD, load_params
from stages.plumbing.errors import run
from stages.sources.passages import copy_passages
from stages.world.world import SyntheticWorld


def main(argv: list[str] | None = None) -> None:
    """Make or copy the corpus."""
    arguments = _arguments(argv)
    params = load_params()
    arguments.output.mkdir(parents=True, exist_ok=True)
    passages = arguments.output / "passages.jsonl"
    if params.corpus.source == WORLD:
        world = SyntheticWorld.make(params.seed, params.corpus.world)
        write_passages(passages, world.passages)
        world.save(arguments.output / "world.json")
    else:
        copy_passages(params.corpus.source, passages)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the corpus")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
