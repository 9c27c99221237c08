"""Model folders: either the files themselves, or a reference to a hub model or a local folder.

A stage that takes a ready-made model writes `reference.json` with the resolved revision: the
hashed output is then a few bytes, not a copy of the weights.
"""

from __future__ import annotations

from pathlib import Path

from stages.errors import InputError
from stages.hub import reaching_hub
from stages.records import read_json, write_json

REFERENCE = "reference.json"


def write_reference(folder: str | Path, model: str, revision: str | None) -> None:
    """Make `folder` stand for `model`: a local folder, or a hub id whose revision is resolved.

    InputError if the local folder has no safetensors weights, or the hub cannot be reached.
    """
    if Path(model).is_dir():
        if not any(Path(model).glob("*.safetensors")):
            raise InputError(f"{model}: holds no .safetensors weights")
        write_json(Path(folder) / REFERENCE, {"model": model, "revision": None})
        return
    snapshot = Path(_download(model, revision))
    write_json(Path(folder) / REFERENCE, {"model": model, "revision": snapshot.name})


def model_path(folder: str | Path) -> str:
    """Where the model's files lie: `folder` itself, or what its reference points to."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such model folder")
    if not (folder / REFERENCE).exists():
        return str(folder)
    reference = read_json(folder / REFERENCE)
    if Path(reference["model"]).is_dir():
        return reference["model"]
    return _download(reference["model"], reference["revision"])


def _download(model: str, revision: str | None) -> str:
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
    with reaching_hub(model, "neither a local folder nor a hub id"):
        return snapshot_download(model, revision=revision, allow_patterns=patterns)
