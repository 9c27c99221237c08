"""Source descriptions: small YAML files that name public data sets by hub id and pinned revision.

    passages:                # a corpus
      - {hub: owner/name, revision: 0a1b..., file: passages.jsonl.gz}
    contexts:                # the passages that come with questions, alone or after those above
      - {hub: owner/name, revision: 0a1b..., file: hotpotqa/train.jsonl}
    train:                   # or question sets; a set's name is put before its questions' ids
      hotpotqa: {hub: owner/name, revision: 0a1b..., file: hotpotqa/train.jsonl}
    test:
      hotpotqa: {path: /my/own/dev.jsonl, sha256: 0a1b...}
    pairs:                   # or training pairs
      - {hub: owner/name, revision: 0a1b..., file: pairs.jsonl}

An entry is a file of the hub or a local `path`; `.gz` files are read as they are. DVC hashes the
description alone, and with it the pinned revisions and the SHA-256 of files, so that another
file is another description; a file is downloaded once. A file of the hub is pinned by the commit
in `revision`, or by its `sha256` beside any revision; a branch alone is refused. `count` may say
how many passages or questions a file gives, for `python -m stages.tools.plan` before the download;
`question_mark: true` ends its training questions in one, as the paper's public code does.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from stages.common.hub import reaching_hub
from stages.common.records import read_yaml
from stages.plumbing.errors import InputError

BLOCKS = ("passages", "contexts", "train", "test", "pairs")
KINDS = {"count": (int, "a number"), "question_mark": (bool, "true or false")}  # others: texts
HUB = ("hub", "revision", "file")  # keys of a file of the hub
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class DataFile:
    """One file: local (`path` and its `sha256`), or `file` of the data set `hub` at `revision`,
    which may have a `sha256` too.

    `count`: how many passages or questions it gives, for the plan of a run. `question_mark`: its
    training questions end in one, also those that the data set leaves without.
    """

    count: int | None = None
    question_mark: bool = False
    path: str | None = None
    sha256: str | None = None
    hub: str | None = None
    revision: str | None = None
    file: str | None = None


def is_description(source: str | Path) -> bool:
    """Whether `source` is a description, and not the data itself."""
    return Path(source).suffix in (".yaml", ".yml")


def read_description(path: str | Path) -> dict[str, list[DataFile] | dict[str, DataFile]]:
    """The blocks of a description. InputError names the file and the key that is wrong."""
    blocks = read_yaml(path)
    if not isinstance(blocks, dict) or not blocks or not set(blocks) <= set(BLOCKS):
        raise InputError(f"{path}: expected an object with some of {', '.join(BLOCKS)}")
    return {name: _block(block, f"{path}: '{name}'") for name, block in blocks.items()}


def corpus_files(path: str | Path) -> dict[str, list[DataFile]]:
    """The files of a corpus, by "passages" and "contexts": one of them, or both."""
    blocks = read_description(path)
    listed = all(isinstance(block, list) for block in blocks.values())
    if not listed or not set(blocks) <= {"passages", "contexts"}:
        raise InputError(
            f"{path}: a corpus is described by 'passages', 'contexts' or both, lists of files"
        )
    return blocks


def question_files(path: str | Path) -> dict[str, dict[str, DataFile]]:
    """The files of question sets, by "train" and "test" and by name."""
    blocks = read_description(path)
    if set(blocks) != {"train", "test"} or not all(isinstance(b, dict) for b in blocks.values()):
        raise InputError(f"{path}: questions are described by 'train' and 'test', files by name")
    return blocks


def pair_file(path: str | Path) -> DataFile:
    """The file of published training pairs (stages/sources/published.py)."""
    blocks = read_description(path)
    files = blocks.get("pairs")
    if set(blocks) != {"pairs"} or not isinstance(files, list) or len(files) != 1:
        raise InputError(f"{path}: training pairs are described by 'pairs', a list of one file")
    return files[0]


def _block(block: object, where: str) -> list[DataFile] | dict[str, DataFile]:
    if isinstance(block, list) and block:
        return [_entry(entry, where) for entry in block]
    if isinstance(block, dict) and block:
        return {name: _entry(entry, f"{where}, '{name}'") for name, entry in block.items()}
    raise InputError(f"{where}: expected a list of files, or files by name")


def _entry(entry: object, where: str) -> DataFile:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object")
    for key, value in entry.items():
        kind, name = KINDS.get(key, (str, "a text"))
        if type(value) is not kind:
            raise InputError(f"{where}: '{key}' must be {name}")
    keys = set(entry) - set(KINDS) - {"sha256"}
    if keys not in ({"path"}, set(HUB)):
        raise InputError(
            f"{where}: a file has 'path' and 'sha256', or 'hub', 'revision' and 'file'"
        )
    file = DataFile(**entry)
    if file.hub and not file.sha256 and not COMMIT.fullmatch(file.revision):
        raise InputError(
            f"{where}: 'revision' must be a commit of 40 hexadecimal digits, found "
            f"'{file.revision}', which is another file tomorrow: take a commit from the page "
            f"'Files and versions' of the data set {file.hub}, or add the file's 'sha256'"
        )
    return file


def local_path(entry: DataFile) -> Path:
    """Where the file lies on this machine, after its download if it needs one.

    InputError if it is not there and the hub cannot be reached or does not have it, and for a file
    that is not the one described.
    """
    if entry.path is not None:
        return _checked(Path(entry.path), entry.sha256)
    name = f"{entry.hub}@{entry.revision}/{entry.file}"
    with reaching_hub(name, f"'{entry.hub}' is no hub id"):
        from huggingface_hub import hf_hub_download

        path = hf_hub_download(entry.hub, entry.file, repo_type="dataset", revision=entry.revision)
    return _checked(Path(path), entry.sha256, name) if entry.sha256 else Path(path)


def _checked(path: Path, digest: str | None, name: str | None = None) -> Path:
    """The file, called `name` in messages, if it holds what the description says."""
    name = name or str(path)
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from None
    if digest != found:
        said = f"its description says {digest}" if digest else "the description lacks it"
        raise InputError(f"{name}: 'sha256' of this file is {found}: {said}")
    return path
