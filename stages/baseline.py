"""Stage baseline@NAME: a ready-made retriever to compare with R_0. It is not trained here.

In: the block `baseline.NAME`. Out: a retriever folder that refers to the model and says how it is
asked (the query alone, with the prompts that the model wants), and its figures. The pipeline
indexes the corpus by it, so that `compare` may name it with any agent.
"""

from __future__ import annotations

import argparse

from stages.params import load_params
from stages.plumbing.errors import run
from stages.plumbing.named import named_arguments, named_block


def main(argv: list[str] | None = None) -> None:
    """Make one folder."""
    args = _arguments(argv)
    block = named_block(load_params().baseline, "baseline", args.name)

    from stages.common.records import write_json
    from stages.encoders.reference import refer_to_encoder
    from stages.plumbing.folders import replaced

    with replaced(args.output) as folder:
        metrics = refer_to_encoder(block, folder)
    write_json(args.metrics, metrics)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    return named_arguments(argv, __doc__)


if __name__ == "__main__":
    run(main)
