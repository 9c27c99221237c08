"""What OmegaConf says of a value that a key cannot have, in words that a reader of YAML knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

CLEARER = (
    (r"field '.*' is not Optional|Incompatible value 'None' for .*", "cannot be null"),
    (r"Invalid type assigned: NoneType is not .*", "cannot be null"),
    (r".*missing mandatory value: .*", "has no value"),
    (r".* is not a ListConfig, list or tuple\.?", "must be a list, as [a, b]"),
    (r"Cannot merge DictConfig with ListConfig", "takes keys or a list, and this is the other"),
    (r"Merge error: \w+ is not a subclass of .*", "must have keys of its own"),
    (r"Invalid type assigned: \w+ is not a subclass of .*", "must have keys of its own"),
    (r"Value .* is incompatible with type hint .*Dict.*", "must have keys of its own"),
    (r"Cannot assign .* to a? ?DictConfig.*", "must have keys of its own"),
    (r"Key .* is incompatible with .*", "YAML reads this name as no text: put it in quotes"),
    (
        r"Invalid value '(?:True|False)', (expected one of .*)",
        r"YAML reads this as true or false, as it does on and off without quotes: \1",
    ),
)


def key_fault(error: Exception, key: str = "") -> str:
    """One line: the key (`key`, where the error names none) and what is wrong with it.

    What follows is OmegaConf's own description of the key; the value may have lines too.
    """
    said = " ".join(re.split(r"\n\s*full_key:", str(error))[0].split())
    for pattern, clearer in CLEARER:
        if found := re.fullmatch(pattern, said):
            said = found.expand(clearer)
            break
    key = getattr(error, "full_key", None) or key
    said += _near(error)
    return f"'{key}': {said}" if key else said


def _near(error: Exception) -> str:
    """The key that an unknown one may be a slip of."""
    from omegaconf.errors import ConfigKeyError

    if not isinstance(error, ConfigKeyError) or not isinstance(error.key, str):
        return ""
    plain = error.key.strip().replace("-", "_").lower()
    near = get_close_matches(plain, map(str, error.parent_node or ()), 1)
    return f"; is '{near[0]}' meant?" if near else ""


def near_key(key: str) -> str | None:
    """The dotted key of a parameter that `key`, which is none, may be a slip of."""
    from omegaconf import OmegaConf

    from stages.params.run import Params

    known: dict[str, list[str]] = {}
    for each in _keys(OmegaConf.structured(Params)):
        block, _, name = each.rpartition(".")
        known.setdefault(block, []).append(name)
    block, _, name = key.lower().rpartition(".")
    blocks = get_close_matches(block, known, 1, cutoff=0.75) if block else [""]
    found = get_close_matches(name, known[blocks[0]], 1) if blocks else []
    return f"{blocks[0]}.{found[0]}".removeprefix(".") if found else None


def _keys(block: DictConfig, prefix: str = "") -> Iterator[str]:
    from omegaconf import DictConfig

    for name, value in block.items_ex(resolve=False):
        yield f"{prefix}{name}"
        if isinstance(value, DictConfig) and value._content not in (None, "???"):
            yield from _keys(value, f"{prefix}{name}.")
