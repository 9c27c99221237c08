"""Stages of a named block: `baseline@NAME` reads the block `baseline.NAME` of params.yaml."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeVar

from stages.plumbing.errors import InputError

Block = TypeVar("Block")


def named_arguments(argv: list[str] | None, doc: str) -> argparse.Namespace:
    """The name, folder and metrics of a stage that makes one folder; `doc` is its docstring."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--name", required=True, help="the name of the block in params.yaml")
    parser.add_argument("--output", type=Path, required=True, help="the folder to make")
    parser.add_argument("--metrics", type=Path, required=True, help="its figures, JSON")
    return parser.parse_args(argv)


def named_block(blocks: dict[str, Block], kind: str, name: str) -> Block:
    """The block `kind`.NAME of params.yaml. InputError if there is none."""
    if name not in blocks:
        raise InputError(f"params.yaml: '{kind}' has no '{name}'")
    return blocks[name]
