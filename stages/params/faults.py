"""What OmegaConf says of a value that a key cannot have, in words that a reader of YAML knows."""

from __future__ import annotations

import re

CLEARER = (
    (r"field '.*' is not Optional|Incompatible value 'None' for .*", "cannot be null"),
    (r".*missing mandatory value: .*", "has no value"),
    (r".* is not a ListConfig, list or tuple\.?", "must be a list, as [a, b]"),
    (r"Invalid type assigned: \w+ is not a subclass of .*", "must have keys of its own"),
    (r"Value .* is incompatible with type hint .*Dict.*", "must have keys of its own"),
    (r"Cannot assign .* to a? ?DictConfig.*", "must have keys of its own"),
)


def key_fault(error: Exception) -> str:
    """One line: the key and what is wrong with it.

    What follows is OmegaConf's own description of the key; the value may have lines too.
    """
    said = " ".join(re.split(r"\n\s*full_key:", str(error))[0].split())
    for pattern, clearer in CLEARER:
        if re.fullmatch(pattern, said):
            said = clearer
            break
    key = getattr(error, "full_key", None)
    return f"'{key}': {said}" if key else said
