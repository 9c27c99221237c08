"""A name says one thing: no two modules define a class or a type alias of the same public name."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TYPE = re.compile(r"[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*")  # CONSTANTS and _private names are others
ALLOWED: dict[str, str] = {}  # a name that two modules may define, and why


def types_of(source: str) -> list[str]:
    """The public classes and type aliases that a module defines, but not inside of functions."""
    found, waiting = [], [ast.parse(source)]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.ClassDef):
                found.append(node.name)
            elif isinstance(node, ast.Assign):
                found += [target.id for target in node.targets if isinstance(target, ast.Name)]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.append(node.target.id)
            elif isinstance(node, ast.If | ast.Try | ast.ExceptHandler):
                waiting.append(node)
    return [name for name in found if TYPE.fullmatch(name)]


def test_every_type_has_a_name_of_its_own():
    homes = defaultdict(list)
    for file in sorted((ROOT / "stages").rglob("*.py")):
        for name in types_of(file.read_text(encoding="utf-8")):
            homes[name].append(str(file.relative_to(ROOT)))
    shared = {name: files for name, files in homes.items() if len(files) > 1}
    assert {*shared} == {*ALLOWED}, shared
    assert len(homes) > 150, "the search finds types"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("class Batch:\n    size: int\n", ["Batch"]),
        ("Key = tuple[str, str]\n", ["Key"]),
        ("Key: TypeAlias = tuple[str, str]\n", ["Key"]),
        ("if TYPE_CHECKING:\n    Key = str\nelse:\n    class Key: ...\n", ["Key", "Key"]),
        ("COUNT = 1\nT = TypeVar('T')\n_Key = str\nkey = 1\ndef f():\n    Key = 1\n", []),
    ],
)
def test_types_are_found(source, names):
    assert types_of(source) == names
