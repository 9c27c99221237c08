"""Model folders: either the files themselves, or a reference to a hub model or a local folder.

A stage that takes a ready-made model writes `reference.json` with the resolved revision, or the
digest of a local folder's files: the hashed output is then a few bytes, not a copy of the weights,
and says which weights they are. Weights are safetensors; a model that
would be unpickled, or that brings code of its own, is refused wherever it comes from.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from stages.common.hub import reaching_hub
from stages.common.records import read_json, write_json
from stages.plumbing.errors import InputError

REFERENCE = "reference.json"
PICKLED = ("pytorch_model*.bin", "adapter_model.bin")
# All that a model is read from:
FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
MODULES = "sentence_transformers."  # where the modules of a retriever come from


def write_reference(folder: str | Path, model: str, revision: str | None) -> None:
    """Make `folder` stand for `model`: a local folder, or a hub id whose revision is resolved.

    InputError if it has no safetensors weights or is not safe, or the hub cannot be reached.
    """
    local = Path(model).is_dir()
    place = Path(model if local else _download(model, revision))
    check_safe(place, model)
    if not any(place.rglob("*.safetensors")):
        raise InputError(f"{model}: holds no .safetensors weights")
    known = {"revision": None, "digest": digest(place)} if local else {"revision": place.name}
    write_json(Path(folder) / REFERENCE, {"model": model, **known})


def model_path(folder: str | Path) -> str:
    """Where the model's files lie: `folder` itself, or what its reference points to.

    InputError if there is no such folder, if it is not safe to load, or if it is a local one whose
    files are no longer those that the reference was made for.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such model folder")
    name = path = str(folder)
    if (folder / REFERENCE).exists():
        reference = read_json(folder / REFERENCE)
        name = path = reference["model"]
        if not Path(name).is_dir():
            path = _download(name, reference["revision"])
        elif digest(Path(name)) != reference.get("digest"):
            raise InputError(
                f"{name}: its files have changed since {folder} was made to stand for it: run the "
                "stage that makes that folder again, with `dvc repro -f STAGE`"
            )
    check_safe(Path(path), name)
    return path


def digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a local model's files."""
    files = sorted({file for pattern in FILES for file in folder.rglob(pattern)})
    states = ((file, file.stat()) for file in files)
    return _digest(folder, tuple((file, s.st_size, s.st_mtime_ns) for file, s in states))


@lru_cache
def _digest(folder: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    """Files that look as they did are read once by a process."""
    whole = hashlib.sha256()
    for path, _, _ in files:
        whole.update(f"{path.relative_to(folder)}\0".encode())
        with open(path, "rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def check_safe(path: Path, name: str) -> None:
    """InputError if the model in `path`, called `name`, is pickled or names code of its own."""
    for file in sorted(file for pattern in PICKLED for file in path.rglob(pattern)):
        if not any(file.parent.glob("*.safetensors")):
            raise InputError(
                f"{name}: {file.name} is a pickle, which is never loaded: save the weights as "
                ".safetensors"
            )
    for file in sorted(path.rglob("*config.json")):
        about = read_json(file)
        if isinstance(about, dict) and "auto_map" in about:
            raise InputError(
                f"{name}: {file.name} names code of the model's own ('auto_map'), which is never "
                "run; where transformers has the model, remove that key from a local copy"
            )
    if (path / "modules.json").exists():
        for module in read_json(path / "modules.json"):
            if not str(module.get("type")).startswith(MODULES):
                raise InputError(
                    f"{name}: modules.json names code of the model's own ('{module.get('type')}'), "
                    "which is never run"
                )


def _download(model: str, revision: str | None) -> str:
    from huggingface_hub import snapshot_download

    with reaching_hub(model, "neither a local folder nor a hub id"):
        return snapshot_download(model, revision=revision, allow_patterns=list(FILES))
