"""Source descriptions: small YAML files that name public data sets by hub id and pinned revision.

    passages:                # a corpus
      - {hub: owner/name, revision: 0a1b..., file: passages.jsonl.gz}
    contexts:                # or a corpus made of the passages that come with questions
      - {hub: owner/name, revision: 0a1b..., file: hotpotqa/train.jsonl}
    train:                   # or question sets; a set's name is put before its questions' ids
      hotpotqa: {hub: owner/name, revision: 0a1b..., file: hotpotqa/train.jsonl}
    test:
      hotpotqa: {path: /my/own/dev.jsonl}

An entry is a file of the hub or a local `path`; `.gz` files are read as they are. DVC hashes the
description, and its pinned revisions with it; a file is downloaded once. `count` may say how many
passages or questions a file gives, for `python -m stages.plan` before the download.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stages.errors import InputError
from stages.hub import reaching_hub
from stages.records import read_yaml

BLOCKS = ("passages", "contexts", "train", "test")


@dataclass(frozen=True)
class Entry:
    """One file: local (`path`), or `file` of the data set `hub` at `revision`.

    `count`: how many passages or questions it gives, for the plan of a run.
    """

    count: int | None = None
    path: str | None = None
    hub: str | None = None
    revision: str | None = None
    file: str | None = None


def is_description(source: str | Path) -> bool:
    """Whether `source` is a description, and not the data itself."""
    return Path(source).suffix in (".yaml", ".yml")


def read_description(path: str | Path) -> dict[str, list[Entry] | dict[str, Entry]]:
    """The blocks of a description. InputError names the file and the key that is wrong."""
    blocks = read_yaml(path)
    if not isinstance(blocks, dict) or not blocks or not set(blocks) <= set(BLOCKS):
        raise InputError(f"{path}: expected an object with some of {', '.join(BLOCKS)}")
    return {name: _block(block, f"{path}: '{name}'") for name, block in blocks.items()}


def _block(block: object, where: str) -> list[Entry] | dict[str, Entry]:
    if isinstance(block, list) and block:
        return [_entry(entry, where) for entry in block]
    if isinstance(block, dict) and block:
        return {name: _entry(entry, f"{where}, '{name}'") for name, entry in block.items()}
    raise InputError(f"{where}: expected a list of files, or files by name")


def _entry(entry: object, where: str) -> Entry:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object")
    for key, value in entry.items():
        if not isinstance(value, int if key == "count" else str):
            raise InputError(
                f"{where}: '{key}' must be {'a number' if key == 'count' else 'a text'}"
            )
    if set(entry) - {"count"} not in ({"path"}, {"hub", "revision", "file"}):
        raise InputError(f"{where}: a file has 'path', or 'hub', 'revision' and 'file'")
    return Entry(**entry)


def local_path(entry: Entry) -> Path:
    """Where the file lies on this machine, after its download if it needs one.

    InputError if it is not there and the hub cannot be reached or does not have it.
    """
    if entry.path is not None:
        return Path(entry.path)
    from huggingface_hub import hf_hub_download

    name = f"{entry.hub}@{entry.revision}/{entry.file}"
    with reaching_hub(name, f"'{entry.hub}' is no hub id"):
        return Path(
            hf_hub_download(entry.hub, entry.file, repo_type="dataset", revision=entry.revision)
        )
