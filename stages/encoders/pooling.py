"""How the vectors of a text's tokens become one: what a model's files say, and what is stated.

sentence-transformers guesses where a folder has no modules.json, or a pooling without a mode: mean,
or the last token for a decoder. Another pooling than that of its training makes a model worse
without an error, so nothing is guessed here.
"""

from __future__ import annotations

from pathlib import Path

from stages.common.records import read_json
from stages.params import POOLINGS
from stages.plumbing.errors import InputError

MODULES = "modules.json"
MODE = "pooling_mode"
# As files of earlier versions of the library have it, in the order of its parts.
FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def written_pooling(folder: str | Path) -> str | None:
    """The pooling that a folder's modules.json names, such as `mean` or `cls+mean`; None where it
    has no such file, or no pooling among its modules (static embeddings).

    InputError for a file of another form, a pooling that says no mode, or one that leaves the
    prompt out.
    """
    folder = Path(folder)
    if not (folder / MODULES).exists():
        return None
    paths = _paths(folder / MODULES)
    if "Pooling" not in paths:
        return None
    path = folder / paths["Pooling"] / "config.json"
    about = read_json(path, foreign=True)
    if not isinstance(about, dict):
        raise InputError(f"{path}: expected an object")
    modes = about.get(MODE) or [mode for flag, mode in FLAGS.items() if about.get(flag)]
    modes = [modes] if isinstance(modes, str) else modes
    if not modes or not isinstance(modes, list) or not all(isinstance(m, str) for m in modes):
        raise InputError(f"{path}: says no '{MODE}', and it would be guessed: add it")
    if about.get("include_prompt") is False:
        raise InputError(f"{path}: leaves the prompt out of the pooling, which is not done here")
    return "+".join(modes)


def _paths(file: Path) -> dict[str, str]:
    """Where a modules.json has each kind of module, such as `Pooling`."""
    modules = read_json(file, foreign=True)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise InputError(f"{file}: expected a list of objects")
    for number, module in enumerate(modules):
        for key in ("type", "path"):
            if not isinstance(module.get(key), str):
                raise InputError(f"{file}: '{number}.{key}' must be a text")
    return {module["type"].rpartition(".")[2]: module["path"] for module in modules}


def pooling_to_make(folder: str | Path, stated: str | None) -> str | None:
    """The pooling to put on the bare model in `folder`; None where its modules.json has the whole
    retriever.

    InputError where neither the files nor `stated` say it, or where they say different things.
    """
    folder = Path(folder)
    one_of = f"{', '.join(POOLINGS[:-1])} or {POOLINGS[-1]}"
    if not (folder / MODULES).exists():
        if stated is None:
            raise InputError(
                f"{folder}: has no {MODULES}, so its pooling would be guessed: set 'pooling' of "
                f"this encoder or baseline to {one_of}, as the page of the model says"
            )
        return stated
    written = written_pooling(folder)
    if stated not in (None, written):
        raise InputError(
            f"{folder}: 'pooling' is stated as {stated}, and its files say {written or 'none'}: "
            "set it to null"
        )
    return None
