"""Where an output comes from, back to the corpus.

    python -m stages.tools.trace models/retriever/2          # for people
    python -m stages.tools.trace metrics/evaluate/2.json --json

Prints the commit, the stages in the order in which they made it, each with the hashes of what it
read and its parameters, and the package versions. All of it is read from dvc.lock and git.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from stages.plumbing.errors import run
from stages.provenance.lineage import LockedStage, lineage
from stages.provenance.origin import packages
from stages.provenance.since import commit, since


def main(argv: list[str] | None = None) -> None:
    """Print the lineage of one output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="a checkpoint, a metrics file, any output of a stage")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args(argv)
    steps = lineage(args.path)
    about = {**commit(steps), "packages": packages()}
    if args.json:
        print(json.dumps({"path": args.path, **about, "stages": [asdict(s) for s in steps]}))
    else:
        _print(args.path, about, steps)


def _print(path: str, about: dict, steps: list[LockedStage]) -> None:
    changed = since(about)
    print(f"{path}\ncommit   {about['commit'] or 'none'}{f', {changed}' if changed else ''}")
    print(
        "packages " + ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    )
    for step in steps:
        print(f"\n{step.stage}")
        for kind, files in (("in", step.inputs), ("out", step.outputs)):
            for name, digest in files.items():
                print(f"  {kind:<4}{digest:<37}{name}")
        for name, value in step.params.items():
            print(f"  set {name}: {json.dumps(value)}")


if __name__ == "__main__":
    run(main)
