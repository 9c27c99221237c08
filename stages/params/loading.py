"""params.yaml, or one block of YAML, as a dataclass."""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from stages.params.checks import check_params
from stages.params.faults import key_fault
from stages.params.run import Params
from stages.params.written import written_faults
from stages.plumbing.errors import InputError
from stages.plumbing.yaml_text import invalid_yaml, parse_yaml

if TYPE_CHECKING:
    from omegaconf import DictConfig

Block = TypeVar("Block")


def load_params(path: str | Path = "params.yaml") -> Params:
    """The checked parameters in `path`. InputError names the file and the key that is wrong."""
    params = read_block(path, Params)
    check_params(params, str(path))
    return params


def read_block(path: str | Path, kind: type[Block]) -> Block:
    """The YAML file `path` as the dataclass `kind`. InputError names the file and the key."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        text = Path(path).read_text(encoding="utf-8")
        if not isinstance(parse_yaml(text, path), dict):  # of nothing, all would be defaults
            raise InputError(f"{path}: expected an object with keys")
        schema, loaded = OmegaConf.structured(kind), OmegaConf.create(text)
        if kind is not Params:
            OmegaConf.resolve(loaded)  # as Hydra does of the same file on its way into params.yaml
        merged = OmegaConf.merge(schema, loaded)
        given, read = map(OmegaConf.to_container, (loaded, merged))
        for key, fault in written_faults(text, given, read):
            raise InputError(f"{path}: '{key}': {fault}")
        return OmegaConf.to_object(merged)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not valid UTF-8") from None
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or _keyless(schema, loaded)
        raise InputError(f"{path}: {key_fault(error, key)}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise invalid_yaml(path, error) from None


def escaped(value: object) -> object:
    """`value` with its texts so that `read_block`, Hydra and then `load_params` read them as they
    stand: OmegaConf, which looks for keys in `${...}`, reads them twice on either way.
    """
    if isinstance(value, dict):
        return {key: escaped(below) for key, below in value.items()}
    if isinstance(value, list):
        return [escaped(each) for each in value]
    if isinstance(value, str):
        for _ in range(2):
            value = re.sub(r"(\\*)\$\{", lambda sign: sign[1] * 2 + r"\${", value)
    return value


def _keyless(schema: DictConfig, given: DictConfig, above: tuple[str, ...] = ()) -> str:
    """The key in `given` of which an error that names none is: the deepest that fails alone."""
    from omegaconf import DictConfig

    for name, value in given.items_ex(resolve=False):
        path = (*above, name)
        if _refuses(schema, path, value):
            inside = isinstance(value, DictConfig) and not _refuses(schema, path, {})
            below = _keyless(schema, value, path) if inside else ""
            return below or ".".join(map(str, path))
    return ""


def _refuses(schema: DictConfig, path: tuple[str, ...], value: object) -> bool:
    """Whether `value` alone at `path` is an error that names no key."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        OmegaConf.merge(schema, reduce(lambda below, each: {each: below}, reversed(path), value))
    except OmegaConfBaseException as error:
        return not error.full_key
    return False
