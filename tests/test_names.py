"""A public class or function of stages has a name of its own: whoever reads one finds one."""

import ast
from collections import Counter
from pathlib import Path

CODE = Path(__file__).parents[1] / "stages"
# What several modules offer alike, and callers name with its module: bm25.build, checkpoint.load.
PROTOCOLS = {"main", "run", "build", "load", "parse", "render", "train"}


def test_no_public_name_is_defined_twice():
    names: Counter[str] = Counter()
    for path in CODE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names[node.name] += not node.name.startswith("_")
    assert {name for name, count in names.items() if count > 1} == PROTOCOLS
