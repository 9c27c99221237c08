"""params.yaml, or one block of YAML, as a dataclass."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from stages.params.checks import check_params
from stages.params.run import Params
from stages.plumbing.errors import InputError
from stages.plumbing.reasons import reason
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
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), loaded))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not valid UTF-8") from None
    except OmegaConfBaseException as error:
        raise InputError(f"{path}: {_first_line(error)}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise invalid_yaml(path, error) from None


def _first_line(error: Exception) -> str:
    key = getattr(error, "full_key", None)
    return f"'{key}': {reason(error)}" if key else reason(error)
