"""A trained retriever made ready to be published: its folder, and a model card from provenance.

    python -m stages.tools.card models/retriever/2 --output published

The card says what the retriever was trained on and how, what it reaches, and the hashes of all
that it came from. Every figure is read from files that dvc.lock vouches for.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from stages.plumbing.errors import InputError, run


def main(argv: list[str] | None = None) -> None:
    """Copy the retriever and write its card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("retriever", help="folder of a trained retriever, as dvc.lock names it")
    parser.add_argument("--output", required=True, type=Path, help="a folder that is not there yet")
    args = parser.parse_args(argv)
    if args.output.exists():
        raise InputError(f"{args.output}: is there already")

    from stages.cards.card import Sources, render_card
    from stages.common.records import write_text

    card = render_card(Sources.read(args.retriever))
    shutil.copytree(args.retriever, args.output, copy_function=shutil.copyfile)
    write_text(args.output / "README.md", card)
    print(f"{args.output}: the retriever, and its card in README.md")


if __name__ == "__main__":
    run(main)
