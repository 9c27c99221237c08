"""Stage baseline@NAME: a ready-made retriever beside R_0, which nothing here trains.

In: the block `baseline.NAME`. Out: a retriever folder that refers to the model and says how it is
asked (the query alone, with the prompts that the model wants), and its figures. The pipeline
indexes the corpus by it, so that `compare` may name it with any agent.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.params import load_params
from stages.plumbing import errors
from stages.plumbing.errors import InputError


def main(argv: list[str] | None = None) -> None:
    """Make one folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="the retriever's name in params.yaml")
    parser.add_argument("--output", type=Path, required=True, help="folder of the retriever")
    parser.add_argument("--metrics", type=Path, required=True)
    arguments = parser.parse_args(argv)
    params = load_params()
    if arguments.name not in params.baseline:
        raise InputError(f"params.yaml: 'baseline' has no '{arguments.name}'")
    from stages.common.records import write_json
    from stages.encoders.reference import refer
    from stages.plumbing.folders import replaced

    with replaced(arguments.output) as folder:
        metrics = refer(params.baseline[arguments.name], folder)
    write_json(arguments.metrics, metrics)


if __name__ == "__main__":
    errors.run(main)
