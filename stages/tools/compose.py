"""Compose `conf/` into `params.yaml`, as `dvc exp run` does: `python -m stages.tools.compose scale=real`.

`dvc repro` reads params.yaml as it stands; run this after an edit in `conf/`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.plumbing import errors


def compose(output: Path, overrides: list[str]) -> None:
    """Write the composition of conf/config.yaml and Hydra `overrides` to `output`."""
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException

    conf = Path("conf").resolve()
    try:
        compose_and_dump(str(output), str(conf), None, "config", str(conf), overrides)
    except HydraException as error:
        raise errors.InputError("conf: " + " ".join(str(error).split())) from None


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, e.g. scale=real seed=1")
    parser.add_argument("--output", type=Path, default=Path("params.yaml"))
    arguments = parser.parse_args(argv)
    compose(arguments.output, arguments.overrides)


if __name__ == "__main__":
    errors.run(main)
