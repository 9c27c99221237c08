"""Which modules of stages/ a module imports or names, at any depth, lazily too: from the source
alone."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]


@cache
def modules() -> dict[str, str]:
    """Path from the root by dotted name; a package is its __init__.py."""
    found = {}
    for file in sorted((ROOT / "stages").rglob("*.py")):
        path = file.relative_to(ROOT)
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        found[name] = str(path)
    return found


@cache
def imports(module: str) -> frozenset[str]:
    """What the source of `module` imports of stages/; types that are only checked do not count."""
    tree = ast.parse((ROOT / modules()[module]).read_text(encoding="utf-8"))
    found = set()
    for node in _run(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{module} imports relatively"
            ours = node.module.split(".")[0] == "stages"
            assert not ours or node.module in modules(), f"{module} imports {node.module}"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    with_packages = {".".join(name.split(".")[:n]) for name in found for n in range(1, 9)}
    return frozenset(with_packages & modules().keys() - {module})


@cache
def named(module: str) -> frozenset[str]:
    """What the source of `module` names in texts, for another program to import: `stages.a.b`,
    `pkg://stages.a.b`, with a class behind it or not."""
    found = set()
    for node in _run(ast.parse((ROOT / modules()[module]).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = _QUOTED.fullmatch(node.value)
            parts = text[1].split(".") if text else []
            ours = [name for n in range(2, len(parts) + 1) if (name := ".".join(parts[:n]))]
            found |= {max(modules().keys() & {*ours}, key=len)} if parts else set()
    return frozenset(found - {module})


_QUOTED = re.compile(r"(?:pkg://)?(stages(?:\.\w+)+)(?::\w+)?")


def _run(node: ast.AST):
    """The nodes that run: all but what stands under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            continue
        yield child
        yield from _run(child)


def reached(module: str, closed: tuple[str, ...] = ()) -> dict[str, str]:
    """Every module that `module` reaches, by path, and through which module it came: what is
    imported, and what is named.

    What lies below a path in `closed` is not entered.
    """
    found, waiting = {modules()[module]: ""}, [module]
    while waiting:
        now = waiting.pop()
        for name in sorted(imports(now) | named(now)):
            path = modules()[name]
            if path not in found and not below(path, closed):
                found[path] = now
                waiting.append(name)
    return found


def below(path: str, places: tuple[str, ...]) -> bool:
    """Whether `path` is one of the files or lies in one of the folders `places`."""
    return any(path == place or path.startswith(f"{place}/") for place in places)
