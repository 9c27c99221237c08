"""Read YAML: whatever is wrong with it is one InputError.

PyYAML's constructors let errors of their own through, without a line: a KeyError of `!!bool yess`,
an IndexError of `!!int ""`, an AttributeError of `!!timestamp now`. All YAML is parsed here, but
for what Hydra and OmegaConf read themselves.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from yaml.constructor import ConstructorError

from stages.plumbing.errors import InputError

OF_CONSTRUCTORS = (ValueError, LookupError, AttributeError, TypeError, OverflowError)
DEPTH = 5000  # levels that the parser in C, which ends the process where its stack does, may meet
SHOWN = 40  # characters of a value


class _Marked:
    """A constructor that says where a value is that it cannot make."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except OF_CONSTRUCTORS:
            value = f"{node.value[:SHOWN]!r}" if isinstance(node.value, str) else "this"
            problem = f"{value} is no {node.tag.rpartition(':')[2]}"
            raise ConstructorError(None, None, problem, node.start_mark) from None


class _Loader(_Marked, yaml.SafeLoader):
    pass


class _FastLoader(_Marked, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    pass


def parse_yaml(text: str, where: str | Path, *, fast: bool = False) -> object:
    """The value of a YAML text. InputError, opened by `where`, with the line if it has one.

    `fast`: by the parser in C, which lets tabs pass that the other refuses: for files that a
    program wrote, or that are read otherwise too.
    """
    loader = _FastLoader if fast and _deepest(text) < DEPTH else _Loader
    try:
        return yaml.load(text, loader)
    except (yaml.YAMLError, RecursionError, *OF_CONSTRUCTORS) as error:
        raise invalid_yaml(where, error) from None


def _deepest(text: str) -> int:
    """More levels than `text` can have: a bracket opens one, or a column of a line."""
    return text.count("[") + text.count("{") + max(map(len, text.splitlines()), default=0)


def invalid_yaml(where: str | Path, error: Exception) -> InputError:
    """What a YAML parser's `error` about `where` means, on one line."""
    mark = getattr(error, "problem_mark", None)
    line = f":{mark.line + 1}" if mark else ""
    problem = str(getattr(error, "problem", None) or error).splitlines()[0]
    if isinstance(error, RecursionError):
        problem = "nested too deeply"
    return InputError(f"{where}{line}: not valid YAML ({problem})")
