"""Model folders: either the files themselves, or a reference to a hub model or a local folder.

A stage that takes a ready-made model writes `reference.json` with the resolved revision, or the
digest of a local folder's files: the hashed output is then a few bytes, not a copy of the weights,
and says which weights they are. Weights are safetensors; a model that
would be unpickled, or that brings code of its own, is refused wherever it comes from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from stages.common.hub import reaching_hub
from stages.common.records import read_json, write_json
from stages.plumbing.errors import InputError
from stages.plumbing.folders import as_umask
from stages.plumbing.reasons import reason

REFERENCE = "reference.json"
PICKLED = ("pytorch_model*.bin", "adapter_model.bin")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors")
# All that a model is read from:
FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
MODULES = "sentence_transformers."  # where the modules of a retriever come from


def write_reference(folder: str | Path, model: str, revision: str | None) -> None:
    """Make `folder` stand for `model`: a local folder, or a hub id whose revision is resolved.

    InputError if it has no safetensors weights or is not safe, or the hub cannot be reached.
    """
    local = Path(model).is_dir()
    place = Path(model if local else download(model, revision))
    check_safe(place, model)
    if not any(any(place.rglob(name)) for name in WEIGHTS):
        raise InputError(f"{model}: holds no .safetensors weights ({WEIGHTS[0]}, or its parts)")
    known = {"revision": None, "digest": model_digest(place)} if local else {"revision": place.name}
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
        name, revision, known = _reference(folder / REFERENCE)
        path = name
        if not Path(name).is_dir():
            path = download(name, revision)
        elif model_digest(Path(name)) != known:
            raise InputError(
                f"{name}: its files have changed since {folder} was made to stand for it: run the "
                "stage that makes that folder again, with `dvc repro -f STAGE`"
            )
    check_safe(Path(path), name)
    return path


def _reference(file: Path) -> tuple[str, str | None, str | None]:
    """Model, revision and digest that a reference names."""
    said = read_json(file)
    model = said.get("model") if isinstance(said, dict) else None
    if not isinstance(model, str) or not model:
        raise InputError(f"{file}: expected an object whose 'model' is a text")
    for key in ("revision", "digest"):
        if not isinstance(said.get(key), str | None):
            raise InputError(f"{file}: '{key}' must be a text or null")
    return model, said.get("revision"), said.get("digest")


@contextmanager
def loading(path: str | Path) -> Iterator[None]:
    """A library reads the model in the folder `path`: what it raises becomes one InputError, which
    names the file where that can be told.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # each of these libraries raises what it likes
        raise InputError(_broken(Path(path)) or f"{path}: no model ({reason(error)})") from error


def check_whole(path: str | Path, found: dict) -> None:
    """InputError where weights of a model are not in its files, and were drawn at random instead.

    `found`: what transformers says of the loading (`output_loading_info`).
    """
    if missing := sorted(found["missing_keys"]):
        raise InputError(
            f"{path}: its weights lack {len(missing)} of the model's, such as '{missing[0]}'"
        )


def check_tokenizer(path: str | Path) -> None:
    """InputError if the model in `path` has no file of words: a library would take none at all."""
    if not any(any(Path(path).rglob(name)) for name in TOKENIZERS):
        raise InputError(f"{path}: has no tokenizer (none of {', '.join(TOKENIZERS)})")


def weight_names(path: str | Path) -> set[str]:
    """Names of all tensors in the folder's safetensors files."""
    from safetensors import safe_open

    names: set[str] = set()
    for file in Path(path).rglob("*.safetensors"):
        with safe_open(file, "np") as weights:
            names |= set(weights.keys())
    return names


def _broken(folder: Path) -> str | None:
    """What is wrong with the first file of the folder that cannot be read at all."""
    from safetensors import safe_open

    for file in sorted(folder.rglob("*.safetensors")):
        try:
            with safe_open(file, "np"):
                pass
        except Exception as error:
            return f"{file}: broken, or not written to its end ({reason(error)})"
    for file in sorted(folder.rglob("*.json")):
        try:
            read_json(file)
        except InputError as error:
            return str(error)
    return None


def save_model(model, tokenizer, folder: str | Path) -> None:
    """Write a language model and its tokenizer as one transformers folder, read by whom the umask
    lets read.
    """
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    as_umask(folder)


def save_tokenizer(tokenizer, folder: str | Path) -> None:
    """Write a tokenizer; the same bytes with HF_HUB_OFFLINE, which transformers writes down too."""
    loaded_online(tokenizer).save_pretrained(folder)


def loaded_online(tokenizer):
    """The tokenizer, made to say that it was loaded where the hub may be asked."""
    if "local_files_only" in tokenizer.init_kwargs:
        tokenizer.init_kwargs["local_files_only"] = False
    return tokenizer


def model_digest(folder: Path) -> str:
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
        if not any((file.parent / name).exists() for name in WEIGHTS):
            raise InputError(
                f"{name}: {file.name} is a pickle, which is never loaded: save the weights as "
                ".safetensors"
            )
    for file in sorted(path.rglob("*config.json")):
        about = read_json(file, foreign=True)
        if not isinstance(about, dict):
            raise InputError(f"{name}: {file.name}: expected an object")
        if "auto_map" in about:
            raise InputError(
                f"{name}: {file.name} names code of the model's own ('auto_map'), which is never "
                "run; where transformers has the model, remove that key from a local copy"
            )
    if (path / "modules.json").exists():
        modules = read_json(path / "modules.json")
        if not isinstance(modules, list) or not all(isinstance(m, dict) for m in modules):
            raise InputError(f"{name}: modules.json: expected a list of objects")
        for module in modules:
            if not str(module.get("type")).startswith(MODULES):
                raise InputError(
                    f"{name}: modules.json names code of the model's own ('{module.get('type')}'), "
                    "which is never run"
                )


def download(model: str, revision: str | None) -> str:
    """Where the files of a hub model lie on this machine, after their download if it needs one.

    InputError if they are not here and the hub cannot be reached or does not have them.
    """
    with reaching_hub(model, "neither a local folder nor a hub id"):
        from huggingface_hub import snapshot_download

        options = {"revision": revision, "allow_patterns": list(FILES)}
        try:
            return snapshot_download(model, **options)
        except Exception:
            with suppress(Exception):  # the hub asks for a pinned revision that is here, too
                return snapshot_download(model, **options, local_files_only=True)
            raise
