"""params.yaml, or one block of YAML, as a dataclass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from stages.params.checks import check_params
from stages.params.faults import key_fault
from stages.params.run import Params
from stages.plumbing.errors import InputError
from stages.plumbing.yaml_text import invalid_yaml, parse_yaml

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
        loaded = OmegaConf.create(text)
        merged = OmegaConf.merge(OmegaConf.structured(kind), loaded)
        for key in _numbers_for_booleans(*map(OmegaConf.to_container, (loaded, merged))):
            raise InputError(f"{path}: '{key}' must be true or false")
        return OmegaConf.to_object(merged)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not valid UTF-8") from None
    except OmegaConfBaseException as error:
        raise InputError(f"{path}: {key_fault(error)}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise invalid_yaml(path, error) from None


def _numbers_for_booleans(given: dict, read: dict, prefix: str = "") -> Iterator[str]:
    """Keys that are `given` a number, of which OmegaConf has read a truth value."""
    for name, value in given.items():
        found = read.get(name)
        if isinstance(value, dict) and isinstance(found, dict):
            yield from _numbers_for_booleans(value, found, f"{prefix}{name}.")
        elif isinstance(found, bool) and type(value) in (int, float):
            yield f"{prefix}{name}"
