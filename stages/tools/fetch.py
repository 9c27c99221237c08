"""Fetch what the run in params.yaml takes from the hub, before DVC deletes anything.

    python -m stages.tools.fetch

DVC removes a stage's outputs before it runs the stage, so a hub that cannot be reached would cost
the models of the run before. `make repro` runs this first; where the nodes of a cluster have no
network, run it where there is one. Models and files of data sets go into the hub's cache
(`HF_HOME`), where the stages find them. What is there already is not fetched again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from stages.params import Params, load_params
from stages.plumbing.errors import run


def main(argv: list[str] | None = None) -> None:
    """Fetch all of it; one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args(argv)
    params = load_params()
    for name, revision in dict.fromkeys(models(params)):
        if not Path(name).is_dir():
            from stages.common.models import download

            print(f"{name}: {download(name, revision)}")
    for entry in files(params):
        from stages.sources.description import local_path

        print(f"{entry.hub}: {local_path(entry)}")


def models(params: Params) -> Iterator[tuple[str, str | None]]:
    """Name and revision of each ready-made model of a run."""
    named = [params.base.agent, params.base.judge, params.encoder]
    for block in [*named, *params.guest.values(), *params.baseline.values()]:
        if block.model is not None:
            yield block.model, block.revision


def files(params: Params) -> Iterator:
    """The files of the hub that the descriptions of corpus and questions name."""
    from stages.sources.description import is_description, read_description

    for source in dict.fromkeys([params.corpus.source, params.questions.source]):
        if is_description(source):
            for block in read_description(source).values():
                entries = block.values() if isinstance(block, dict) else block
                yield from (entry for entry in entries if entry.hub is not None)


if __name__ == "__main__":
    run(main)
