"""Every stage is one file of one form: docstring, `main`, its arguments, the work, `run(main)`."""

import ast
from pathlib import Path

import pytest

STAGES = sorted(
    path
    for path in (Path(__file__).parents[1] / "stages").glob("*.py")
    if path.name != "__init__.py"
)


@pytest.mark.parametrize("path", STAGES, ids=lambda path: path.stem)
def test_a_stage_has_the_form_of_all(path):
    module = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(module)
    main, arguments, *_ = (node for node in module.body if isinstance(node, ast.FunctionDef))
    assert (main.name, [each.arg for each in main.args.args]) == ("main", ["argv"])
    assert ast.get_docstring(main)
    assert (arguments.name, ast.unparse(arguments.returns)) == ("_arguments", "argparse.Namespace")
    assert ast.unparse(module.body[-1]) == "if __name__ == '__main__':\n    run(main)"
