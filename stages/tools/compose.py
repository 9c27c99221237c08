"""Compose `conf/` into `params.yaml`, as `dvc exp run` does.

    python -m stages.tools.compose scale=real

`dvc repro` reads params.yaml as it stands; run this after an edit in `conf/`. What a stage would
refuse is refused here, in one line, and params.yaml then stays as it was: so this also says whether
an experiment is worth queueing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.composing.compose import compose
from stages.plumbing import errors


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, e.g. scale=real seed=1")
    parser.add_argument("--output", type=Path, default=Path("params.yaml"))
    arguments = parser.parse_args(argv)
    compose(arguments.output, arguments.overrides)


if __name__ == "__main__":
    errors.run(main)
