"""Compose `conf/` into parameters, as `dvc exp run` does, and refuse what a stage would."""

from __future__ import annotations

import re
import runpy
import tempfile
from enum import Enum
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from stages.composing.conf_faults import unread_file
from stages.plumbing.errors import InputError
from stages.plumbing.reasons import reason

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

    from stages.params import Params


BY_NAME = (
    "iterations",
    "compare",
    "oracle",
    "guest",
    "baseline",
    "published",
)  # blocks whose entries an override names


def compose(output: Path, overrides: list[str]) -> None:
    """Write the composition of conf/config.yaml and Hydra `overrides` to `output`.

    InputError where an override cannot be read or changes nothing, and where a stage would refuse
    the parameters; `output` then stays as it was.
    """
    from stages.composing.legal import check_run
    from stages.params import load_params

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "params.yaml"
        compose_unchecked(file, overrides)
        try:
            params = load_params(file)
        except InputError as error:
            raise InputError(str(error).replace(str(file), str(output))) from None
        check_run(params)
        _check_texts(overrides, params)
        text = file.read_text(encoding="utf-8")
    output.write_text(
        text, encoding="utf-8"
    )  # in place, for it may be a device such as /dev/stdout


def compose_unchecked(output: Path, overrides: list[str]) -> None:
    """As `compose`, of parameters that other changes may yet complete."""
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _check_overrides(overrides)
    conf = Path("conf").resolve()
    for plugin in sorted(conf.glob("hydra_plugins/*.py")):
        runpy.run_path(str(plugin))  # Hydra looks for them once a process
    try:
        compose_and_dump(str(output), str(conf), None, "config", str(conf), overrides)
        composed = OmegaConf.load(output)
    except Exception as error:  # PyYAML's constructors raise what they like
        cause = error if str(error) or not error.__cause__ else error.__cause__  # Hydra wraps some
        if unread := unread_file(conf, cause):
            raise unread from None
        if not isinstance(error, (HydraException, OmegaConfBaseException, ValueError)):
            raise
        raise InputError("conf: " + _told(cause)) from None
    for key in sorted(OmegaConf.missing_keys(composed)):
        raise InputError(f"conf: '{key}' has no value")
    _check_emptied(overrides, composed)


def _check_overrides(overrides: list[str]) -> None:
    """InputError for what Hydra reads in its own way, or takes away without a word."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException as error:
            if text.isascii():
                raise InputError(
                    f"conf: {text!r} cannot be read as KEY=VALUE (put other signs in quotes): "
                    f"{reason(error)}"
                ) from None
            key, _, value = text.partition("=")
            how = f"""; write {key}='"{value}"'""" if key.isascii() and value else ""
            raise InputError(
                f"conf: '{text}': letters outside ASCII must stand in quotes, in values alone{how}"
            ) from None
        _check_key(override, text)
        block, _, name = (override.key_or_group or "").partition(".")
        if override.is_delete() and not (block in BY_NAME and name):
            raise InputError(
                f"conf: '{text}': only what is called by a name can be taken away, as in "
                f"~compare.NAME ({', '.join(BY_NAME)}); anything else has a value"
            )


def _check_key(override: Override, text: str) -> None:
    """InputError for a key that is none of a run's, and a group that is given no name."""
    key = override.key_or_group or ""
    if not key:
        raise InputError(f"conf: {text!r} has no key: write KEY=VALUE")
    if re.split(r"[./@:]", key)[0] == "hydra":
        raise InputError(
            f"conf: {text!r}: a run has no such parameter: Hydra's own stay as they are"
        )
    if override.is_delete() or override.is_sweep_override():
        return
    if not isinstance(override.value(), str | list | dict) and Path("conf", key).is_dir():
        raise InputError(
            f"conf: {text!r}: {key} needs the name of a file of conf/{key}, or its keys"
        )


def _check_texts(overrides: list[str], params: Params) -> None:
    """InputError for a text that Hydra read as a number: `0123456` or `1e10` as a revision."""
    for override in _parsed(overrides):
        if override.is_delete() or not isinstance(override.value(), bool | int | float):
            continue
        try:
            read = attrgetter(override.key_or_group)(params)
        except AttributeError:  # of an entry with a name, or a group
            continue
        written = override.input_line.partition("=")[2].strip()
        if isinstance(read, str) and not isinstance(read, Enum) and read != written:
            raise InputError(
                f"conf: '{override.input_line}': {written} is read as {override.value()}; write "
                f"""{override.key_or_group}='"{written}"'"""
            )


def _parsed(overrides: list[str]) -> list[Override]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_overrides(overrides)


def _told(cause: Exception) -> str:
    """What Hydra says on one line, less the places where it has looked; for a slip in a key, what
    may be meant, as `+` would add a parameter that no stage knows.
    """
    from stages.params.faults import near_key

    said = " ".join(str(cause).split()).partition(" Config search path: ")[0]
    slip = re.match(r"Could not override '([^']+)'", said)
    if slip and _is_added(slip[1]):
        return f"a file of conf/{slip[1]} is added to what the scale says: write +{slip[1]}=NAME"
    if slip is None or slip[1].partition(".")[0] in BY_NAME:
        return said
    near = near_key(slip[1])
    return f"no parameter is called '{slip[1]}'" + (f"; is '{near}' meant?" if near else "")


def _is_added(key: str) -> bool:
    """Whether conf/ has files for `key` that say where their keys go; descriptions do not."""
    files = Path("conf").glob("*/*.yaml")
    return any(f.parent.name == key and f.read_bytes().startswith(b"# @package") for f in files)


def _check_emptied(overrides: list[str], composed: object) -> None:
    """InputError for `KEY={}` where Hydra, which merges, left everything as it was."""
    from omegaconf import OmegaConf

    for override in _parsed(overrides):
        for key in _emptied(override.key_or_group, override.value()):
            left = OmegaConf.select(composed, key)
            if left:
                how = "give each of its keys a value"
                if key in BY_NAME:
                    how = " ".join(f"~{key}.{name}" for name in left)
                elif key.partition(".")[0] in BY_NAME:
                    how = f"~{key}"
                raise InputError(
                    f"conf: '{override.input_line}' takes nothing away, for what an override gives "
                    f"is merged into what the scale says; write instead: {how}"
                )


def _emptied(key: str, value: object) -> list[str]:
    """The dotted keys under `key` that `value` gives as empty."""
    if not isinstance(value, dict):
        return []
    inner = [place for name, below in value.items() for place in _emptied(f"{key}.{name}", below)]
    return inner if value else [key]
